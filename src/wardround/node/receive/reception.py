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

from sqlalchemy import insert, select, update
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


@dataclass(frozen=True, slots=True)
class _Gone:
    """The row of an instance whose file is no longer on disk: purged, or lost."""

    row: int
    state: State


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an instance goes: path, file, its study's row, whether it is late, and the row of a copy that is gone."""

    path: str
    file: str | None
    study: int | None = None
    late: bool = False
    gone: _Gone | None = None


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
        with self._database.reading() as session:
            missing = self._missing(session, paths, keys)
        if missing is not None and not missing:
            return Answer.STORED
        if missing is None or not self._store(arrival, keys, tuple(missing)):
            self._refuse(arrival, _Refusal(first, keys, CONFLICT, keep=True))
            return Answer.OTHER_CONTENT
        return Answer.STORED

    def _store(self, arrival: Arrival, keys: Keys, paths: Sequence[StudyPath]) -> bool:
        """Write a copy for each path and commit their rows; False if an instance of other content came first."""
        files = {path: self._file(path, keys) for path in paths}
        unused = dict(files)
        try:
            for path, file in files.items():
                _write(self._roots[path] / file, arrival.part10)
            with self._one_writer, self._database.writing() as session:
                missing = self._missing(session, paths, keys)
                moment = self._clock()
                for path, gone in (missing or {}).items():
                    study, late = _study(session, path, keys.study, moment)
                    place = _Place(path, files[path], study, late, gone)
                    _keep(session, arrival, keys, place, moment)
            unused = {path: file for path, file in files.items() if path not in (missing or {})}
            return missing is not None
        finally:
            for path, file in unused.items():
                (self._roots[path] / file).unlink(missing_ok=True)

    def _file(self, path: StudyPath, keys: Keys) -> str:
        """A new name under the path's root: nothing in it comes from the sender but through a keyed digest."""
        name = f"{secrets.token_hex(16)}.dcm"
        return name if path is StudyPath.RESEARCH else f"{keys.study}/{name}"

    def _missing(
        self, session: Session, paths: Sequence[StudyPath], keys: Keys
    ) -> dict[StudyPath, _Gone | None] | None:
        """The paths that lack this instance, each with the row of a copy that is no longer on disk, if there is one.

        `None` where a path holds another content under its UID.
        """
        columns = (ReceivedInstance.id, ReceivedInstance.path, ReceivedInstance.digest, ReceivedInstance.file)
        rows = session.execute(
            select(*columns, ReceivedInstance.state, ReceivedInstance.reason).where(
                ReceivedInstance.instance_key == keys.instance, ReceivedInstance.path.in_(paths)
            )
        ).all()
        missing: dict[StudyPath, _Gone | None] = dict.fromkeys(paths)
        for row in rows:
            path, state = StudyPath(row.path), State(row.state)
            if row.digest != keys.digest:
                if state not in (State.REFUSED, State.PURGED):
                    return None
            elif row.reason == CONFLICT:
                return None
            elif state is State.PURGED or (row.file is not None and not (self._roots[path] / row.file).exists()):
                missing[path] = _Gone(row.id, state)
            else:
                missing.pop(path, None)
        return missing

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
                    place = _Place(refusal.path, file)
                    _keep(session, arrival, keys, place, self._clock(), refusal.reason)
            committed = True
        except IntegrityError:
            log.info("the same instance was refused twice at once")
        finally:
            if file is not None and not committed:
                (self._roots[StudyPath.RESEARCH] / file).unlink(missing_ok=True)
        log.warning("an instance was refused: %s", refusal.reason)


def _study(session: Session, path: StudyPath, study_key: str, moment: datetime) -> tuple[int, bool]:
    """The study's row, made or touched, and whether this arrival is late: after the study was complete once."""
    here = (ReceivedStudy.path == path.value, ReceivedStudy.study_key == study_key)
    columns = (ReceivedStudy.id, ReceivedStudy.completed_at, ReceivedStudy.reopened)
    known = session.execute(select(*columns).where(*here)).one_or_none()
    if known is None:
        values = {"path": path.value, "study_key": study_key, "first_at": moment, "last_at": moment, "reopened": 0}
        return session.execute(insert(ReceivedStudy).values(values).returning(ReceivedStudy.id)).scalar_one(), False
    reopened = known.reopened + (known.completed_at is not None)
    session.execute(
        update(ReceivedStudy)
        .where(ReceivedStudy.id == known.id)
        .values(last_at=moment, completed_at=None, reopened=reopened)
        .execution_options(synchronize_session=False)
    )
    return known.id, reopened > 0


def _keep(
    session: Session, arrival: Arrival, keys: Keys, place: _Place, moment: datetime, reason: str | None = None
) -> None:
    """Write the row of an instance: a new one, or that of its copy that is gone."""
    state = State.CLINICAL if place.path == StudyPath.CLINIC else State.RECEIVED
    if reason is not None:
        state = State.REFUSED
    check_step(None if place.gone is None else place.gone.state, state)
    values = {
        "study_id": place.study,
        "path": str(place.path),
        "instance_key": keys.instance,
        "series_key": keys.series,
        "digest": keys.digest,
        "size": len(arrival.part10),
        "file": place.file,
        "called_title": arrival.called_title.strip()[:16],
        "calling_title": arrival.calling_title.strip()[:16],
        "late": place.late,
        "state": state.value,
        "reason": reason,
        "received_at": moment,
        "changed_at": moment,
    }
    if place.gone is None:
        session.execute(insert(ReceivedInstance).values(values))
    else:
        there = update(ReceivedInstance).where(ReceivedInstance.id == place.gone.row).values(values)
        session.execute(there.execution_options(synchronize_session=False))


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
