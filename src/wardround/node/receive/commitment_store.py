"""Requests for storage commitment that wait for their answer to be delivered: rows, and what they name, sealed.

A request names instances, so it isn't in the database: it lies beside the quarantined objects, sealed under a key of
its own in the node's identity, for its file's name alone. It goes when the answer is delivered or given up.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy import delete, select

from wardround.dicom.network_messages import CommitmentRequest
from wardround.foundation.database import Database
from wardround.foundation.errors import WardroundError
from wardround.foundation.files import write_whole
from wardround.foundation.sealing import KEY_BYTES, NoKey, Sealer, key_at
from wardround.node.receive.landing import printable_title
from wardround.node.receive.register import make_directory
from wardround.node.receive.tables import CommitmentRow

FOLDER = "commitments"
"""Below the quarantine."""
ERASED = "patient-erased"
"""Why a request was given up whose answer would name instances of somebody who was erased."""


class CommitmentState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"


class RequestUnreadable(WardroundError):
    """What was asked can't be read: its file is gone or damaged, or it was sealed under another key."""

    code = "commitment-unreadable"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request whose answer is due. The titles are as they are kept; `attempts` to deliver it failed."""

    id: int
    file: str
    calling_title: str
    called_title: str
    attempts: int


class CommitmentStore:
    """Keeps requests over a restart. May be shared by threads; the key is made on first use.

    Raises:
        RequestUnreadable: the key file isn't a key.
    """

    def __init__(self, database: Database, folder: Path, key_path: Path) -> None:
        self._database = database
        self._folder = folder
        make_directory(folder)
        try:
            self._sealer = Sealer(key_at(key_path))
        except NoKey as damaged:
            raise RequestUnreadable(
                f"the key of storage commitments has {damaged.length} bytes, not {KEY_BYTES}; put the node's own key "
                "back, or delete it: requests that wait are given up then"
            ) from None

    def add(self, request: CommitmentRequest, at: datetime, *, due: datetime) -> int:
        """Keep a request, durably; returns its number.

        Raises:
            OSError, DBAPIError, sqlalchemy.exc.TimeoutError: it isn't kept.
        """
        name = secrets.token_hex(16)
        file = self._folder / name
        write_whole(file, self._sealer.seal(json.dumps(asdict(request)).encode(), name.encode()))
        row = CommitmentRow(
            file=name,
            calling_title=printable_title(request.calling_ae),
            called_title=printable_title(request.called_ae),
            instances=len(request.instances),
            state=CommitmentState.WAITING.value,
            attempts=0,
            due_at=due,
            requested_at=at,
        )
        try:
            with self._database.writing() as session:
                session.add(row)
                session.flush()
                return row.id
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def due(self, at: datetime) -> list[Waiting]:
        """The requests whose answer is due, the longest waiting first."""
        waits = (CommitmentRow.state == CommitmentState.WAITING.value, CommitmentRow.due_at <= at)
        with self._database.reading() as session:
            rows = session.scalars(select(CommitmentRow).where(*waits).order_by(CommitmentRow.due_at, CommitmentRow.id))
            return [Waiting(row.id, row.file, row.calling_title, row.called_title, row.attempts) for row in rows]

    def request(self, waiting: Waiting) -> CommitmentRequest:
        """What was asked.

        Raises:
            RequestUnreadable: it can't be read any more.
        """
        try:
            sealed = (self._folder / waiting.file).read_bytes()
            opened = json.loads(self._sealer.open(sealed, waiting.file.encode()))
        except (OSError, ValueError):
            raise RequestUnreadable("a storage commitment that waits for its answer can't be read any more") from None
        opened["instances"] = tuple((sop_class, uid) for sop_class, uid in opened["instances"])
        return CommitmentRequest(**opened)

    def postpone(self, number: int, due: datetime, *, failed_attempt: bool) -> None:
        """Deliver the answer at `due`."""
        with self._database.writing() as session:
            row = session.get_one(CommitmentRow, number)
            row.due_at = due
            row.attempts += failed_attempt

    def finish(
        self, number: int, state: CommitmentState, at: datetime, *, failed: int | None = None, reason: str | None = None
    ) -> None:
        """Note how it ended, and forget what was asked. `failed`: of how many instances the answer said no."""
        with self._database.writing() as session:
            row = session.get(CommitmentRow, number)
            if row is None:
                return  # ended otherwise, and pruned since
            row.state, row.reason, row.finished_at = state.value, reason, at
            if failed is not None:
                row.failed = failed
            file = self._folder / row.file
        file.unlink(missing_ok=True)

    def about(self, keys: Set[str], key_of: Callable[[str], str]) -> list[int]:
        """The requests waiting for their answer that name one of these instances.

        Args:
            keys: the front door's keys of instances.
            key_of: makes such a key of a SOP Instance UID.
        """
        with self._database.reading() as session:
            waits = CommitmentRow.state == CommitmentState.WAITING.value
            rows = list(session.scalars(select(CommitmentRow).where(waits).order_by(CommitmentRow.id)))
        found = []
        for row in rows if keys else ():
            try:
                asked = self.request(Waiting(row.id, row.file, row.calling_title, row.called_title, row.attempts))
            except RequestUnreadable:
                continue
            if any(key_of(uid.strip(" \0")) in keys for _, uid in asked.instances):
                found.append(row.id)
        return found

    def forget(self, numbers: Sequence[int], at: datetime) -> None:
        """Give requests up for an erasure, and what they named: whoever asked may ask again for the rest."""
        with self._database.reading() as session:
            waits = CommitmentRow.state == CommitmentState.WAITING.value
            waiting = list(session.scalars(select(CommitmentRow.id).where(waits, CommitmentRow.id.in_(numbers))))
        for number in waiting:
            self.finish(number, CommitmentState.GIVEN_UP, at, reason=ERASED)

    def prune(self, before: datetime) -> int:
        """Delete the rows of requests that ended before; how many."""
        ended = (CommitmentRow.state != CommitmentState.WAITING.value, CommitmentRow.finished_at < before)
        with self._database.reading() as session:
            if session.scalar(select(CommitmentRow.id).where(*ended).limit(1)) is None:
                return 0
        with self._database.writing() as session:
            gone = delete(CommitmentRow).where(*ended).returning(CommitmentRow.id)
            return len(session.scalars(gone.execution_options(synchronize_session=False)).all())

    def tidy(self) -> None:
        """Remove files for which nothing waits, as a crash may leave one."""
        with self._database.reading() as session:
            waits = CommitmentRow.state == CommitmentState.WAITING.value
            kept = set(session.scalars(select(CommitmentRow.file).where(waits)))
        for file in self._folder.iterdir():
            if file.name not in kept:
                file.unlink()
