"""Takes an arrival in: on disk and in the index before the sender hears that it was stored.

The order is the promise. The file is written and flushed, then its row is committed, then the sender is answered.
A crash before the commit leaves a file without a row, which nobody was promised and `Reception.recover` removes.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from wardround.dicom.network import Accepted, Received, RefusedStorage, write_part10
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.files import flush_directory, write_whole
from wardround.node.receive.arrival import Arrival, KeyMaker, Keys, Unreadable
from wardround.node.receive.route import Router, StudyPath
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy

log = logging.getLogger(__name__)

RESERVE_BYTES = 256 * 1024 * 1024
NO_PATH = "none"
CONFLICT = "conflicting-content"
NOT_ROUTED = "not-routed"


class Answer(IntEnum):
    """What the sender hears: a status of the Storage Service (PS3.4 Table B.2-1, PS3.7 section 9.1.1.1.9)."""

    STORED = 0x0000
    NOT_AUTHORISED = 0x0124
    NO_ROOM = 0xA700
    OTHER_INSTANCE = 0xA900
    NOT_UNDERSTOOD = 0xC000
    OTHER_CONTENT = 0xC001
    """An instance of this UID with other content is here already; this one is kept apart, refused."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    path: str
    keys: Keys
    reason: str
    keep: bool = False


class Reception:
    """The sink of the node's receivers; `receive` may be called from several threads at once.

    Args:
        database: the node's database, upgraded.
        quarantine: directory of the research path's originals and of what was refused.
        clinical: directory of the clinical path's studies.
        secret: the site's secret, at least 16 bytes, for keys in place of identifiers.
        route: where each arrival goes.
        reserve_bytes: free space below which nothing more is taken in.
    """

    def __init__(
        self,
        database: Database,
        *,
        quarantine: Path,
        clinical: Path,
        secret: bytes,
        route: Router,
        reserve_bytes: int = RESERVE_BYTES,
        clock: Clock = now,
    ) -> None:
        self._database = database
        self._roots = {StudyPath.RESEARCH: quarantine, StudyPath.CLINIC: clinical}
        self._keys = KeyMaker(secret)
        self._route = route
        self._reserve = reserve_bytes
        self._clock = clock
        self._one_writer = threading.Lock()
        for root in self._roots.values():
            _make_directory(root)

    def sink(self, received: Received) -> Accepted | RefusedStorage:
        """`receive` in the form that a `wardround.dicom.network.StorageReceiver` wants."""
        answer = self.receive(
            Arrival(
                part10=write_part10(received),
                called_title=received.called_ae,
                calling_title=received.calling_ae,
                sop_uid=received.sop_instance_uid,
            )
        )
        return Accepted() if answer is Answer.STORED else RefusedStorage(answer.value)

    def receive(self, arrival: Arrival) -> Answer:
        """Take one instance in. When this returns `STORED`, it survives a crash.

        The same instance sent again is `STORED` and kept once. Nothing half-written is left behind by any answer.
        """
        try:
            if shutil.disk_usage(self._roots[StudyPath.RESEARCH]).free < self._reserve + len(arrival.part10):
                log.error("the disk is below its reserve; nothing more is taken in")
                return Answer.NO_ROOM
            return self._receive(arrival)
        except OSError as error:
            log.error("an instance could not be written: %s", type(error).__name__)
        except (DBAPIError, PoolExhausted) as error:
            log.error("the index does not answer: %s", type(error).__name__)
        return Answer.NO_ROOM

    def recover(self) -> int:
        """Remove the files that no row stands for, left by a crash; returns how many.

        Call it before the receivers start: it would take a file that is being stored for one of them.
        """
        removed = 0
        with self._database.reading() as session:
            known = set(session.scalars(select(ReceivedInstance.file).where(ReceivedInstance.file.is_not(None))))
            for root in self._roots.values():
                for file in root.rglob("*"):
                    if file.is_file() and file.relative_to(root).as_posix() not in known:
                        file.unlink()
                        removed += 1
        if removed:
            log.warning("removed %d files that were never acknowledged or are no longer needed", removed)
        return removed

    def _receive(self, arrival: Arrival) -> Answer:
        paths = self._route(arrival).paths
        first = paths[0] if paths else NO_PATH
        try:
            keys = self._keys.keys(arrival)
        except Unreadable as unreadable:
            self._refuse(arrival, _Refusal(first, self._keys.unread(arrival), unreadable.reason_code))
            mismatch = unreadable.reason_code == "uid-mismatch"
            return Answer.OTHER_INSTANCE if mismatch else Answer.NOT_UNDERSTOOD
        if not paths:
            self._refuse(arrival, _Refusal(NO_PATH, keys, NOT_ROUTED))
            return Answer.NOT_AUTHORISED
        wanted = self._wanted(paths, keys)
        if wanted is None:
            self._refuse(arrival, _Refusal(first, keys, CONFLICT, keep=True))
            return Answer.OTHER_CONTENT
        if not wanted:
            return Answer.STORED
        return self._store(arrival, keys, wanted)

    def _wanted(self, paths: Sequence[StudyPath], keys: Keys) -> list[StudyPath] | None:
        """The paths that lack this instance, or `None` where one holds another content under its UID."""
        with self._database.reading() as session:
            rows = session.execute(
                select(
                    ReceivedInstance.path, ReceivedInstance.digest, ReceivedInstance.state, ReceivedInstance.reason
                ).where(ReceivedInstance.instance_key == keys.instance, ReceivedInstance.path.in_(paths))
            ).all()
        wanted = set(paths)
        for path, digest, state, reason in rows:
            if digest == keys.digest and reason == CONFLICT:
                return None
            if state == State.PURGED:
                continue
            if digest == keys.digest:
                wanted.discard(StudyPath(path))
            elif state != State.REFUSED:
                return None
        return [path for path in paths if path in wanted]

    def _store(self, arrival: Arrival, keys: Keys, wanted: Sequence[StudyPath]) -> Answer:
        files = {path: self._file(path, keys) for path in wanted}
        committed = False
        try:
            for path, file in files.items():
                _write(self._roots[path] / file, arrival.part10)
            with self._one_writer, self._database.writing() as session:
                moment = self._clock()
                for path, file in files.items():
                    study, late = _study(session, path, keys.study, moment)
                    _row(session, arrival, keys, path=path, study=study, file=file, late=late, at=moment)
            committed = True
        except IntegrityError:
            # Another thread stored an instance of this UID since `_wanted` looked: ask again.
            return self._settled(arrival, keys, wanted)
        finally:
            if not committed:
                for path, file in files.items():
                    (self._roots[path] / file).unlink(missing_ok=True)
        return Answer.STORED

    def _file(self, path: StudyPath, keys: Keys) -> str:
        """A new name under the path's root: nothing in it comes from the sender but through a keyed digest."""
        name = f"{secrets.token_hex(16)}.dcm"
        return name if path is StudyPath.RESEARCH else f"{keys.study}/{name}"

    def _settled(self, arrival: Arrival, keys: Keys, wanted: Sequence[StudyPath]) -> Answer:
        again = self._wanted(wanted, keys)
        if again is None:
            self._refuse(arrival, _Refusal(wanted[0], keys, CONFLICT, keep=True))
            return Answer.OTHER_CONTENT
        return Answer.NO_ROOM if again else Answer.STORED

    def _refuse(self, arrival: Arrival, refusal: _Refusal) -> None:
        """Keep the fact, and the bytes where a person can still decide about them; once for the same bytes."""
        keys = refusal.keys
        here = select(ReceivedInstance.id).where(
            ReceivedInstance.path == refusal.path,
            ReceivedInstance.instance_key == keys.instance,
            ReceivedInstance.digest == keys.digest,
        )
        file, committed = None, False
        try:
            with self._one_writer, self._database.writing() as session:
                if session.scalar(here) is None:
                    if refusal.keep:
                        file = f"{secrets.token_hex(16)}.dcm"
                        _write(self._roots[StudyPath.RESEARCH] / file, arrival.part10)
                    _row(
                        session,
                        arrival,
                        keys,
                        path=refusal.path,
                        file=file,
                        at=self._clock(),
                        reason=refusal.reason,
                    )
            committed = True
        except IntegrityError:
            log.info("the same instance was refused twice at once")
        finally:
            if file is not None and not committed:
                (self._roots[StudyPath.RESEARCH] / file).unlink(missing_ok=True)
        log.warning("an instance was refused: %s", refusal.reason)


def _study(session: Session, path: StudyPath, study_key: str, moment: datetime) -> tuple[ReceivedStudy, bool]:
    """The study's row, made or touched, and whether this arrival is late: after the study was complete."""
    study = session.scalar(
        select(ReceivedStudy).where(ReceivedStudy.path == path.value, ReceivedStudy.study_key == study_key)
    )
    if study is None:
        study = ReceivedStudy(
            path=path.value,
            study_key=study_key,
            first_at=moment,
            last_at=moment,
            reopened=0,
        )
        session.add(study)
        session.flush()
        return study, False
    late = study.completed_at is not None
    study.last_at = moment
    if late:
        study.completed_at = None
        study.reopened += 1
    return study, late or study.reopened > 0


def _row(
    session: Session,
    arrival: Arrival,
    keys: Keys,
    *,
    path: str,
    at: datetime,
    file: str | None,
    study: ReceivedStudy | None = None,
    late: bool = False,
    reason: str | None = None,
) -> None:
    state = State.CLINICAL if path == StudyPath.CLINIC else State.RECEIVED
    if reason is not None:
        state = State.REFUSED
    row = session.scalar(
        select(ReceivedInstance).where(
            ReceivedInstance.path == path,
            ReceivedInstance.instance_key == keys.instance,
            ReceivedInstance.digest == keys.digest,
        )
    )
    check_step(None if row is None else State(row.state), state)
    if row is None:
        row = ReceivedInstance(path=str(path), instance_key=keys.instance, digest=keys.digest, received_at=at)
        session.add(row)
    row.study_id = None if study is None else study.id
    row.series_key = keys.series
    row.size = len(arrival.part10)
    row.file = file
    row.called_title = arrival.called_title.strip()[:16]
    row.calling_title = arrival.calling_title.strip()[:16]
    row.late = late
    row.state = state.value
    row.reason = reason
    row.received_at = at
    row.changed_at = at
    session.flush()


def _write(file: Path, data: bytes) -> None:
    _make_directory(file.parent)
    write_whole(file, data, mode=0o600)


def _make_directory(directory: Path) -> None:
    """Make a directory that only its owner enters, durably."""
    if directory.is_dir():
        return
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    os.chmod(directory, 0o700)  # noqa: PTH101 - mkdir's mode is cut by the umask
    flush_directory(directory.parent)
