"""What is asked of sites, and how it stands."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.task import TASK, NumberedTask
from wardround.hub.sites.tables import Site
from wardround.hub.tasks.tables import QueuedTask, TaskCounter

BATCH = 50


def after(session: Session, site: str, number: int) -> tuple[NumberedTask, ...]:
    """The site's tasks numbered above `number` that it hasn't reported on, at most 50; none for one that isn't a
    member (any more)."""
    rows = session.execute(
        select(QueuedTask.number, QueuedTask.body)
        .join(Site, Site.name == QueuedTask.site)
        .where(
            QueuedTask.site == site,
            QueuedTask.number > number,
            QueuedTask.state == "queued",
            Site.state == "member",
        )
        .order_by(QueuedTask.number)
        .limit(BATCH)
    )
    return tuple(NumberedTask(number=given, task=TASK.validate_json(body)) for given, body in rows)


def newest(session: Session) -> int:
    """The number given last, 0 before the first."""
    return session.execute(select(TaskCounter.last)).scalar_one()


def waiting_sites(session: Session, above: int) -> set[str]:
    """Sites that got a task numbered above `above`."""
    return set(session.scalars(select(QueuedTask.site).where(QueuedTask.number > above).distinct()))
