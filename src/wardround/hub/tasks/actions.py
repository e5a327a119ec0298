"""Asking something of a site, and its report on how that ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wardround.contracts.outbound import TaskReport
from wardround.contracts.task import Task
from wardround.foundation.clock import now as present
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.hub.sites.tables import Site
from wardround.hub.tasks.tables import QueuedTask, TaskCounter


def enqueue(session: Session, site: str, task: Task, *, now: datetime | None = None) -> int:
    """Put `task` into the site's queue, in the caller's transaction; gives its number.

    A node that waits for tasks hears of it within about 20 ms of the commit, whichever process made it.

    Raises:
        NotFound: there is no such site.
        NotAllowed: the site isn't a member.
    """
    found = session.get(Site, site)
    if found is None:
        raise NotFound(f"no site {site!r} in this federation")
    if found.state != "member":
        raise NotAllowed(f"site {site!r} is {found.state}, not a member; nothing can be asked of it")
    session.execute(update(TaskCounter).values(last=TaskCounter.last + 1))
    number = session.execute(select(TaskCounter.last)).scalar_one()
    session.add(
        QueuedTask(
            number=number,
            site=site,
            kind=task.kind,
            body=task.model_dump_json(),
            created_at=now or present(),
            state="queued",
        )
    )
    session.flush()
    return number


def report(session: Session, site: str, told: TaskReport, *, now: datetime) -> None:
    """Keep how a task ended at its site. The same report twice changes nothing; the first one stands.

    Raises:
        NotFound: the site has no task of this number.
    """
    task = session.get(QueuedTask, told.number, with_for_update=True)
    if task is None or task.site != site:
        raise NotFound(f"this site has no task {told.number}", code="task-unknown")
    if task.state == "queued":
        task.state, task.reason, task.reported_at = told.outcome, told.reason, now
