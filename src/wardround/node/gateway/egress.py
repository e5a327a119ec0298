"""Writing and reading the egress log. A row is on disk before the first byte of its message goes out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from wardround.contracts.outbound import Message
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.gateway.tables import Egress


class EgressLog:
    """The log's writing side."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(
        self,
        message: Message,
        size: int,
        digest: str | None,
        *,
        outcome: str = "sending",
        answer_bytes: int | None = None,
    ) -> int:
        """Write that `message`, `size` bytes in all, is about to leave; gives the row's number."""
        return self._write(message, size, digest=digest, outcome=outcome, answer_bytes=answer_bytes)

    def refuse(self, message: Message, size: int, reason: str) -> None:
        """Write that `message`, `size` bytes in all, was held back by this hospital's own policy."""
        self._write(message, size, digest=None, outcome="refused", reason=reason, ended_at=self._clock())

    def end(self, number: int, outcome: str, *, reason: str | None = None, answer_bytes: int | None = None) -> None:
        """Write how that ended."""
        with self._database.writing() as session:
            session.execute(
                update(Egress)
                .where(Egress.id == number)
                .values(outcome=outcome, reason=reason, answer_bytes=answer_bytes, ended_at=self._clock())
            )

    def _write(self, message: Message, size: int, **said: Any) -> int:
        row = Egress(
            at=self._clock(),
            kind=getattr(message, "kind", type(message).__name__),
            project=getattr(message, "project", None),
            run=getattr(message, "run", None),
            size=size,
            **said,
        )
        with self._database.writing() as session:
            session.add(row)
            session.flush()
            return row.id


def left_here() -> ColumnElement[bool]:
    """Of a row: the message left, or may have. Not what found no hub or a false one, nor what the policy held back:
    such a row is refused and has no digest, as none has that a hub refused."""
    held_back = and_(Egress.outcome == "refused", Egress.digest.is_(None))
    return ~or_(Egress.outcome.in_(("unreachable", "untrusted")), held_back)


@dataclass(frozen=True)
class EgressTotal:
    """Of one kind of message: how many, how many bytes in all, and when the last one left."""

    kind: str
    messages: int
    size: int
    not_sent: int
    last: datetime


def totals(session: Session) -> list[EgressTotal]:
    """Totals by kind. `size` counts everything that left or may have left (`left_here`)."""
    left = left_here()
    rows = session.execute(
        select(
            Egress.kind,
            func.count(),
            func.coalesce(func.sum(Egress.size).filter(left), 0),
            func.count().filter(~left),
            func.max(Egress.at),
        )
        .group_by(Egress.kind)
        .order_by(Egress.kind)
    )
    return [EgressTotal(kind, count, int(size), kept, last) for kind, count, size, kept, last in rows]


def bytes_out(session: Session, *, project: str | None = None) -> int:
    """All bytes that left or may have left this node, or those of one project.

    An update is carried within the engine's traffic, whose bytes are counted at the relay: for the whole node it
    isn't counted a second time; of a project it is all that tells of the engine.
    """
    asked = select(func.coalesce(func.sum(Egress.size), 0)).where(left_here())
    asked = asked.where(Egress.kind != "run-update" if project is None else Egress.project == project)
    return int(session.execute(asked).scalar_one())


@dataclass(frozen=True)
class EgressLine:
    """One message of the log."""

    at: datetime
    kind: str
    project: str | None
    run: str | None
    size: int
    digest: str | None
    outcome: str
    reason: str | None


def newest(session: Session, limit: int) -> list[EgressLine]:
    """The last `limit` messages, newest first."""
    rows = session.scalars(select(Egress).order_by(Egress.id.desc()).limit(limit))
    return [
        EgressLine(row.at, row.kind, row.project, row.run, row.size, row.digest, row.outcome, row.reason)
        for row in rows
    ]
