"""Writes what landed into the index, many arrivals in one transaction, and puts the files into their places.

The order is what makes a crash harmless: each file gets a second name in its place, the folders are flushed, the rows
are committed, and then the first name goes. Before the commit the object is still in its bay and is registered anew;
after it, an object that is found in a bay once more is known and dropped.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from wardround.foundation.database import Database
from wardround.foundation.files import flush_directory
from wardround.node.optout.register import REASON as OPTED_OUT
from wardround.node.receive.arrival import Entry, Keys
from wardround.node.receive.bay import one_at_a_time
from wardround.node.receive.index import CONFLICT, IndexUnavailable
from wardround.node.receive.route import Rule, StudyPath
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import IntakeRule, ReceivedInstance, ReceivedStudy, TurnedAway

NO_PATH = "none"
DISCARDED_BY_RULE = "discarded-by-rule"
_INSTANCES = ReceivedInstance.metadata.tables[ReceivedInstance.__tablename__]
_NOT_IN_USE = frozenset({State.REFUSED, State.PURGED, State.DISCARDED})
_STATES = {NO_PATH: State.DISCARDED, StudyPath.RESEARCH: State.RECEIVED, StudyPath.CLINIC: State.CLINICAL}


@dataclass(slots=True)
class _Row:
    """What the index has of an instance on a path; `id` is None for what this batch adds."""

    id: int | None
    digest: str
    state: State
    reason: str | None
    file: str | None


@dataclass(slots=True)
class _Study:
    """A study as this batch leaves it. `late` is whether it was complete once."""

    id: int
    last_at: datetime
    reopened: int
    complete: bool
    touched: bool = False

    @property
    def late(self) -> bool:
        return self.reopened > 0

    def touch(self, at: datetime) -> None:
        self.reopened += self.complete
        self.last_at = max(self.last_at, at)
        self.complete, self.touched = False, True


@dataclass(slots=True)
class _Batch:
    """What the index knew of the instances of a batch, and what is to be written."""

    rows: dict[tuple[str, str], list[_Row]]
    studies: dict[tuple[str, str], _Study]
    rules: dict[tuple[str, str, str], int]
    inserts: list[dict[str, object]] = field(default_factory=list)
    updates: list[dict[str, object]] = field(default_factory=list)
    placed: list[Path] = field(default_factory=list)
    folders: set[Path] = field(default_factory=set)
    name: str = field(default_factory=lambda: secrets.token_hex(12))

    def next_name(self) -> str:
        """A name of 32 hexadecimal digits that nothing else has, chance aside."""
        return f"{self.name}{len(self.placed):08x}.dcm"


class Register:
    """The index of what was received, from the side that writes it; an `Index`.

    Args:
        roots: the folder of each path.
        incoming: the folder of the bays.
        durable: flush the folders before the rows are committed.
    """

    def __init__(
        self, database: Database, roots: Mapping[StudyPath, Path], incoming: Path, *, durable: bool = True
    ) -> None:
        self._database = database
        self._roots = roots
        self._incoming = incoming
        self._durable = durable

    def contents(self, study_key: str) -> list[tuple[str, str]]:
        """See `Index`."""
        columns = (ReceivedInstance.instance_key, ReceivedInstance.digest)
        studies = select(ReceivedStudy.id).where(ReceivedStudy.study_key == study_key)
        with _available(), self._database.engine.connect() as connection:
            rows = connection.execute(select(*columns).where(ReceivedInstance.study_id.in_(studies)))
            return [(instance, digest) for instance, digest in rows]

    def holds_other_content(self, keys: Keys, paths: Sequence[StudyPath]) -> bool:
        """See `Index`."""
        columns = (ReceivedInstance.digest, ReceivedInstance.state, ReceivedInstance.reason)
        here = (
            ReceivedInstance.path.in_([str(path) for path in paths]),
            ReceivedInstance.instance_key == keys.instance,
        )
        with _available(), self._database.engine.connect() as connection:
            rows = connection.execute(select(*columns).where(*here)).all()
        return any(
            row.reason == CONFLICT if row.digest == keys.digest else row.state not in _NOT_IN_USE for row in rows
        )

    def write(self, entries: Sequence[Entry], turned_away: Mapping[str, int], at: datetime) -> None:
        """See `Index`."""
        with one_at_a_time(self._incoming), _available():
            placed: list[Path] = []
            try:
                with self._database.writing() as session:
                    batch = self._known(session, entries, placed)
                    for entry in entries:
                        self._enter(entry, batch)
                    if self._durable:
                        for folder in batch.folders:
                            flush_directory(folder)
                    _write(session, batch)
                    _count(session, turned_away, at)
            except BaseException:
                for file in placed:
                    file.unlink(missing_ok=True)
                raise
        for entry in entries:
            if entry.file is not None:
                entry.file.unlink(missing_ok=True)

    def _known(self, session: Session, entries: Sequence[Entry], placed: list[Path]) -> _Batch:
        instances = {entry.keys.instance for entry in entries}
        rows: dict[tuple[str, str], list[_Row]] = {}
        columns = (
            ReceivedInstance.path,
            ReceivedInstance.instance_key,
            ReceivedInstance.id,
            ReceivedInstance.digest,
            ReceivedInstance.state,
            ReceivedInstance.reason,
            ReceivedInstance.file,
        )
        for row in session.execute(select(*columns).where(ReceivedInstance.instance_key.in_(instances))):
            known = _Row(row.id, row.digest, State(row.state), row.reason, row.file)
            rows.setdefault((row.path, row.instance_key), []).append(known)
        return _Batch(
            rows, _studies(session, entries), _rules(session, {entry.rule for entry in entries}), placed=placed
        )

    def _enter(self, entry: Entry, batch: _Batch) -> None:
        """Decide what becomes of one arrival, and put its file where it belongs."""
        paths: Sequence[str] = entry.rule.route.paths or (NO_PATH,)
        refusal = entry.refusal
        if refusal is None:
            missing = self._missing(entry, paths, batch)
            if missing is None:
                refusal = CONFLICT
            else:
                for path, gone in missing.items():
                    file = None if path == NO_PATH else self._place(entry, StudyPath(path), batch)
                    reason = DISCARDED_BY_RULE if path == NO_PATH else None
                    _keep(batch, entry, path, _STATES[path], file, reason, gone)
                return
        known = batch.rows.get((paths[0], entry.keys.instance), ())
        if all(row.digest != entry.keys.digest for row in known):
            file = None if entry.file is None else self._place(entry, StudyPath.RESEARCH, batch)
            _keep(batch, entry, paths[0], State.REFUSED, file, refusal, None)

    def _missing(self, entry: Entry, paths: Sequence[str], batch: _Batch) -> dict[str, _Row | None] | None:
        """The paths that lack this instance, each with the row of a copy that is no longer on disk, if there is one.

        `None` where a path holds another content under its UID.
        """
        missing: dict[str, _Row | None] = dict.fromkeys(paths)
        for path in paths:
            for row in batch.rows.get((path, entry.keys.instance), ()):
                if row.digest != entry.keys.digest:
                    if row.state not in _NOT_IN_USE:
                        return None
                elif row.reason == CONFLICT:
                    return None
                elif path != NO_PATH and (row.reason == OPTED_OUT or row.state is State.PURGED):
                    # Nothing of it was kept; whether it is taken now is asked again.
                    missing[path] = row
                elif path != NO_PATH and self._lost(StudyPath(path), row):
                    missing[path] = row
                else:
                    missing.pop(path, None)
        return missing

    def _lost(self, path: StudyPath, row: _Row) -> bool:
        return row.file is not None and row.id is not None and not (self._roots[path] / row.file).exists()

    def _place(self, entry: Entry, path: StudyPath, batch: _Batch) -> str:
        """Give the landed file its name on a path: nothing in it comes from the sender but a keyed digest."""
        if entry.file is None:
            raise FileNotFoundError(errno.ENOENT, "an instance without a file has no place")
        name, folder = batch.next_name(), self._roots[path]
        if path is StudyPath.CLINIC:
            name, folder = f"{entry.keys.study}/{name}", folder / entry.keys.study
            make_directory(folder)
        target = self._roots[path] / name
        batch.placed.append(target)
        batch.folders.add(folder)
        try:
            os.link(entry.file, target)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
            self._copy(entry.file, target)
        return name

    def _copy(self, source: Path, target: Path) -> None:
        """For a path that lies on another disk."""
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with source.open("rb") as read, os.fdopen(descriptor, "wb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
            written.flush()
            if self._durable:
                os.fsync(written.fileno())


def _keep(
    batch: _Batch, entry: Entry, path: str, state: State, file: str | None, reason: str | None, gone: _Row | None
) -> None:
    """Add the row of an instance: a new one, or that of its copy that is gone."""
    check_step(None if gone is None else gone.state, state)
    study = batch.studies.get((path, entry.keys.study)) if entry.keys.study and state is not State.REFUSED else None
    if study is not None:
        study.touch(entry.at)
    rule = batch.rules[entry.rule.name, entry.rule.target, entry.rule.reason]
    values: dict[str, object] = {
        "study_id": study and study.id,
        "path": path,
        "instance_key": entry.keys.instance,
        "series_key": entry.keys.series,
        "digest": entry.keys.digest,
        "size": entry.size,
        "file": file,
        "called_title": entry.called_title,
        "calling_title": entry.calling_title,
        "late": study is not None and study.late,
        "state": state.value,
        "reason": reason,
        "received_at": entry.at,
        "changed_at": entry.at,
        "sop_class": entry.sop_class,
        "rule_id": rule,
    }
    if gone is None or gone.id is None:
        batch.inserts.append(values)
        row = _Row(None, entry.keys.digest, state, reason, file)
        batch.rows.setdefault((path, entry.keys.instance), []).append(row)
    else:
        batch.updates.append(values | {"id": gone.id})
        gone.state, gone.reason, gone.file, gone.id = state, reason, file, None


def _studies(session: Session, entries: Sequence[Entry]) -> dict[tuple[str, str], _Study]:
    """The studies of these arrivals on each of their paths, made where they weren't there."""
    wanted = {
        (str(path), entry.keys.study): entry.at
        for entry in reversed(entries)
        if entry.keys.study and entry.refusal is None
        for path in entry.rule.route.paths or (NO_PATH,)
    }
    if not wanted:
        return {}
    table = ReceivedStudy
    columns = (table.path, table.study_key, table.id, table.last_at, table.reopened, table.completed_at)
    here = tuple_(table.path, table.study_key).in_(wanted)
    found = {
        (path, key): _Study(id_, last_at, reopened, completed_at is not None)
        for path, key, id_, last_at, reopened, completed_at in session.execute(select(*columns).where(here))
    }
    for (path, key), at in wanted.items():
        if (path, key) not in found:
            values = {"path": path, "study_key": key, "first_at": at, "last_at": at, "reopened": 0}
            id_ = session.execute(insert(table).values(values).returning(table.id)).scalar_one()
            found[path, key] = _Study(id_, at, 0, False)
    return found


def _rules(session: Session, rules: Iterable[Rule]) -> dict[tuple[str, str, str], int]:
    wanted = {(rule.name, rule.target, rule.reason) for rule in rules}
    columns = (IntakeRule.name, IntakeRule.target, IntakeRule.reason)
    here = IntakeRule.name.in_({name for name, _, _ in wanted})
    found = {(n, t, r): id_ for n, t, r, id_ in session.execute(select(*columns, IntakeRule.id).where(here))}
    for name, target, reason in wanted - found.keys():
        values = {"name": name, "target": target, "reason": reason}
        made = session.execute(insert(IntakeRule).values(values).returning(IntakeRule.id)).scalar_one()
        found[name, target, reason] = made
    return found


def _write(session: Session, batch: _Batch) -> None:
    touched = [
        {"id": study.id, "last_at": study.last_at, "completed_at": None, "reopened": study.reopened}
        for study in batch.studies.values()
        if study.touched
    ]
    if touched:
        session.execute(update(ReceivedStudy), touched)
    if batch.inserts:
        # The table's own insert, for many rows without the mapper's work on each.
        session.execute(insert(_INSTANCES), batch.inserts)
    if batch.updates:
        session.execute(update(ReceivedInstance), batch.updates)


def _count(session: Session, turned_away: Mapping[str, int], at: datetime) -> None:
    for reason, count in turned_away.items():
        row = session.get(TurnedAway, reason)
        if row is None:
            session.add(TurnedAway(reason=reason, count=count, last_at=at))
        else:
            row.count, row.last_at = row.count + count, at


def make_directory(directory: Path) -> None:
    """Make a directory that only its owner enters, durably."""
    if directory.is_dir():
        return
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    os.chmod(directory, 0o700)  # noqa: PTH101 - mkdir's mode is cut by the umask
    flush_directory(directory.parent)


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolExhausted) as error:
        raise IndexUnavailable(type(error).__name__) from None
