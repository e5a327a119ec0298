"""What became of a pull. The report names studies: it stays on this machine, for the engineer who ordered them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound
from wardround.foundation.files import write_whole
from wardround.node import audit
from wardround.node.retrieve.reasons import IN_WORDS
from wardround.node.retrieve.sealing import SealBroken, Sealing
from wardround.node.retrieve.states import ENDS, NOT_HAD, StudyState
from wardround.node.retrieve.tables import PullItem, PullJob

_HEADING = ["line", "accession", "study_uid", "patient_id", "state", "reason", "words", "status", "expected", "arrived"]


@dataclass(frozen=True, slots=True)
class JobView:
    """A pull without the names in it. `counts` is by state; `not_had` by reason."""

    number: int
    actor: str
    path: str
    state: str
    note: str
    ordered_at: datetime
    ended_at: datetime | None
    counts: dict[str, int]
    not_had: dict[str, int] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        return sum(count for state, count in self.counts.items() if state != StudyState.SPLIT)

    @property
    def settled(self) -> int:
        """How many are here whole, or won't be had."""
        return sum(count for state, count in self.counts.items() if state in ENDS and state != StudyState.SPLIT)


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One study of a pull without its name. `line`: its number in the order. `status`: the last DIMSE status that
    wasn't success. `expected`, `arrived`: instances, as the PACS states and as are here."""

    row: int
    line: int
    state: str
    reason: str
    status: int | None
    expected: int | None
    arrived: int


def jobs(database: Database) -> list[JobView]:
    """All pulls, the newest first."""
    return _views(database, None)


def job(database: Database, number: int) -> JobView:
    """One pull. Raises `NotFound`."""
    for view in _views(database, number):
        return view
    raise _none(number)


def _none(number: int) -> NotFound:
    return NotFound(f"there is no pull {number}; list them with `wardround node pull --list`")


def _states(*, not_had: bool) -> frozenset[StudyState]:
    """Of the studies of a pull, or of those alone that weren't had."""
    return NOT_HAD if not_had else frozenset(StudyState) - {StudyState.SPLIT}


def _views(database: Database, number: int | None) -> list[JobView]:
    rows_of = select(PullJob).order_by(PullJob.id.desc())
    counted = select(PullItem.job_id, PullItem.state, PullItem.reason, func.count()).group_by(
        PullItem.job_id, PullItem.state, PullItem.reason
    )
    if number is not None:
        rows_of, counted = rows_of.where(PullJob.id == number), counted.where(PullItem.job_id == number)
    counts: dict[int, Counter[str]] = {}
    reasons: dict[int, Counter[str]] = {}
    with database.reading() as session:
        rows = session.scalars(rows_of).all()
        for of, state, reason, count in session.execute(counted):
            counts.setdefault(of, Counter())[state] += count
            if state in NOT_HAD:
                reasons.setdefault(of, Counter())[reason] += count
    return [
        JobView(
            number=row.id,
            actor=row.actor,
            path=row.path,
            state=row.state,
            note=row.note,
            ordered_at=row.ordered_at,
            ended_at=row.ended_at,
            counts=dict(counts.get(row.id, {})),
            not_had=dict(reasons.get(row.id, {})),
        )
        for row in rows
    ]


def lines(database: Database, number: int, *, not_had: bool, after: int, most: int) -> list[StudyLine]:
    """What became of each study of a pull, or of those alone that weren't had, without the names, in the order in which
    they were asked for: at most so many, from after that row on."""
    of = PullItem.job_id == number
    query = select(PullItem).where(of, PullItem.state.in_(_states(not_had=not_had)), PullItem.id > after)
    with database.reading() as session:
        rows = session.scalars(query.order_by(PullItem.id).limit(most)).all()
    return [StudyLine(row.id, row.line, row.state, row.reason, row.status, row.expected, row.arrived) for row in rows]


def named(
    database: Database,
    sealing: Sealing,
    number: int,
    *,
    not_had: bool,
    most: int | None = None,
    actor: str,
    clock: Clock = now,
) -> list[dict[str, Any]]:
    """As the report has it, what became of each study of a pull, or of those alone that weren't had, with what it was
    asked for by: of `most` at most. Opening the names is in the audit, before any is opened.

    Raises:
        NotFound: there is no such pull.
    """
    with database.writing() as session:
        if session.get(PullJob, number) is None:
            raise _none(number)
        audit.record(session, actor, "report-pull", f"pull {number}", clock=clock)
    with database.reading() as session:
        items = session.scalars(
            select(PullItem)
            .where(PullItem.job_id == number, PullItem.state.in_(_states(not_had=not_had)))
            .order_by(PullItem.line, PullItem.id)
            .limit(most)
        ).all()
    return [_row(sealing, item) for item in items]


def write_report(
    database: Database, sealing: Sealing, number: int, path: Path, *, actor: str, clock: Clock = now
) -> None:
    """Write what became of each study of a pull to `path`: CSV if it ends so, else JSON. Only its owner can read it.

    Opening the names is in the audit.

    Raises:
        NotFound: there is no such pull.
    """
    view = job(database, number)
    rows = named(database, sealing, number, not_had=False, actor=actor, clock=clock)
    if path.suffix.lower() == ".csv":
        text = io.StringIO()
        table = csv.DictWriter(text, _HEADING, restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
        document = text.getvalue()
    else:
        document = json.dumps(
            {
                "pull": number,
                "path": view.path,
                "state": view.state,
                "note": view.note,
                "ordered_at": view.ordered_at.isoformat(),
                "ended_at": view.ended_at.isoformat() if view.ended_at else None,
                "counts": view.counts,
                "not_had": [row for row in rows if row["state"] in NOT_HAD],
                "studies": rows,
            },
            indent=2,
        )
    write_whole(path, document.encode(), mode=0o600)


def _row(sealing: Sealing, item: PullItem) -> dict[str, Any]:
    try:
        names: dict[str, str] = sealing.open(item.sealed, item.job_id, item.line).identifiers
    except SealBroken:
        names = {}
    return (
        {"line": item.line}
        | names
        | {
            "state": item.state,
            "reason": item.reason,
            "words": IN_WORDS.get(item.reason, ""),
            "status": None if item.status is None else f"0x{item.status:04X}",
            "expected": item.expected,
            "arrived": item.arrived,
        }
    )


def _harmless(value: Any) -> Any:
    """A cell that a spreadsheet doesn't take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
