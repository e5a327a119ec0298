"""The record of tasks: taken, then done, refused or failed; an end and its report are one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.outbound import TaskReport
from wardround.contracts.task import TASK, NumberedTask
from wardround.node.home import NodeHome
from wardround.node.link import outbox
from wardround.node.link.tables import TakenTask


def last_taken(session: Session) -> int:
    """The highest number taken, 0 before the first."""
    return session.execute(select(func.coalesce(func.max(TakenTask.number), 0))).scalar_one()


def unfinished(session: Session) -> Sequence[NumberedTask]:
    """Tasks that were taken and haven't ended, as after a restart."""
    rows = session.execute(
        select(TakenTask.number, TakenTask.body).where(TakenTask.state == "taken").order_by(TakenTask.number)
    )
    return [NumberedTask(number=number, task=TASK.validate_json(body)) for number, body in rows]


def take(session: Session, tasks: Sequence[NumberedTask], *, now: datetime) -> list[NumberedTask]:
    """Record `tasks`; gives those that weren't recorded before."""
    known = set(session.scalars(select(TakenTask.number).where(TakenTask.number.in_([t.number for t in tasks]))))
    fresh = [numbered for numbered in tasks if numbered.number not in known]
    for numbered in fresh:
        session.add(
            TakenTask(
                number=numbered.number,
                kind=numbered.task.kind,
                body=numbered.task.model_dump_json(),
                taken_at=now,
                state="taken",
            )
        )
    return fresh


def end(session: Session, home: NodeHome, report: TaskReport, *, now: datetime) -> None:
    """Record how a task ended and post the report on it."""
    task = session.get_one(TakenTask, report.number)
    task.state, task.reason, task.ended_at = report.outcome, report.reason, now
    outbox.post(session, home, report, now=now)
