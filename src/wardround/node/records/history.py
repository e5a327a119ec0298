"""Which sources there are and what was loaded from each: written in the transaction of the load."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from wardround.node.records.report import Report
from wardround.node.records.store import Connection

LOAD, SOURCE = "last load", "last source"
"""Marks: the numbers that were given last."""


@dataclass(frozen=True, slots=True)
class Past:
    """A load that was applied; of a continuous source, those of one day together."""

    source: str
    at: datetime
    actor: str
    report: Report


def source_number(connection: Connection, name: str) -> int:
    """The number of a source, given to it the first time."""
    known = connection.rows("SELECT source_id FROM record_source WHERE name = ?", [name])
    if known:
        return int(known[0][0])
    number = _next(connection, SOURCE)
    connection.run("INSERT INTO record_source (source_id, name) VALUES (?, ?)", [number, name])
    return number


def next_load(connection: Connection) -> int:
    return _next(connection, LOAD)


def write_load(
    connection: Connection, report: Report, source: int, *, actor: str, at: datetime, continuous: bool
) -> None:
    """Write who loaded what, without a zone, in UTC; one row for a continuous source's loads of a day."""
    moment = at.astimezone(UTC).replace(tzinfo=None)
    if continuous:
        rows = connection.rows(
            "SELECT load_id, report FROM record_load WHERE source_id = ? AND actor = ? AND finished_at >= ? "
            "ORDER BY load_id DESC LIMIT 1",
            [source, actor, moment.replace(hour=0, minute=0, second=0, microsecond=0)],
        )
        for number, before in rows:
            report = Report.from_json(before).plus(report)
            connection.run("DELETE FROM record_load WHERE load_id = ?", [number])
    connection.run(
        "INSERT INTO record_load (load_id, source_id, finished_at, actor, report) VALUES (?, ?, ?, ?, ?)",
        [report.load, source, moment, actor, report.to_json()],
    )


def past_loads(connection: Connection, last: int) -> list[Past]:
    """The newest loads, newest first."""
    rows = connection.rows(
        "SELECT s.name, l.finished_at, l.actor, l.report FROM record_load l JOIN record_source s "
        "ON s.source_id = l.source_id ORDER BY l.load_id DESC LIMIT ?",
        [last],
    )
    return [Past(name, at.replace(tzinfo=UTC), actor, Report.from_json(report)) for name, at, actor, report in rows]


def _next(connection: Connection, mark: str) -> int:
    number = int(connection.mark(mark) or 0) + 1
    connection.set_mark(mark, str(number))
    return number
