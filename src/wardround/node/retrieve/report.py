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

from sqlalchemy import select

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound
from wardround.foundation.files import write_whole
from wardround.node import audit
from wardround.node.retrieve.reasons import IN_WORDS
from wardround.node.retrieve.sealing import SealBroken, Sealing
from wardround.node.retrieve.states import NOT_HAD, StudyState
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


def jobs(database: Database) -> list[JobView]:
    """All pulls, the newest first."""
    with database.reading() as session:
        rows = session.scalars(select(PullJob).order_by(PullJob.id.desc())).all()
        counts: dict[int, Counter[str]] = {}
        reasons: dict[int, Counter[str]] = {}
        for job, state, reason in session.execute(select(PullItem.job_id, PullItem.state, PullItem.reason)):
            counts.setdefault(job, Counter())[state] += 1
            if state in NOT_HAD:
                reasons.setdefault(job, Counter())[reason] += 1
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


def job(database: Database, number: int) -> JobView:
    """One pull. Raises `NotFound`."""
    for view in jobs(database):
        if view.number == number:
            return view
    raise NotFound(f"there is no pull {number}; list them with `wardround node pull --list`")


def write_report(
    database: Database, sealing: Sealing, number: int, path: Path, *, actor: str, clock: Clock = now
) -> None:
    """Write what became of each study of a pull to `path`: CSV if it ends so, else JSON. Only its owner can read it.

    Opening the names is in the audit.

    Raises:
        NotFound: there is no such pull.
    """
    view = job(database, number)
    with database.writing() as session:
        audit.record(session, actor, "report-pull", f"pull {number}", clock=clock)
    with database.reading() as session:
        items = session.scalars(
            select(PullItem)
            .where(PullItem.job_id == number, PullItem.state != StudyState.SPLIT)
            .order_by(PullItem.line, PullItem.id)
        ).all()
    rows = [_row(sealing, item) for item in items]
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
