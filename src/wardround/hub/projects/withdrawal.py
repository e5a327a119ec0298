"""A project is over for every hospital, as its researcher or the hub's operator says."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.task import WithdrawProject
from wardround.hub import audit
from wardround.hub.projects import queries
from wardround.hub.projects.states import ProjectState, check_transition
from wardround.hub.runs import actions as runs
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import RunRow
from wardround.hub.sites.queries import members
from wardround.hub.tasks.actions import enqueue


def withdraw(session: Session, project: str, reason: str, *, actor: str, at: datetime) -> list[str]:
    """End a project: its runs stop, every site is asked to use nothing for it any more, and no run can start again.

    A site stops of its own accord once it hears; what it then puts on the ledger is its own withdrawal.

    Args:
        reason: a code that everybody may see.

    Returns:
        The sites that are told.

    Raises:
        NotAllowed: it is over already.
    """
    row = queries.row_of(session, project)
    old = queries.state_of(session, project, at.date())
    check_transition(project, old, ProjectState.WITHDRAWN)
    for run in session.scalars(select(RunRow).where(RunRow.project == project, RunRow.ended_at.is_(None))).all():
        runs.end(session, run, RunState.ENDED, reason=f"the project was withdrawn: {reason}", actor=actor, at=at)
    row.state = ProjectState.WITHDRAWN
    row.withdrawn_by, row.withdrawn_at, row.withdrawn_reason = actor, at, reason
    told = [] if old is ProjectState.DRAFT else members(session)
    for site in told:
        enqueue(session, site, WithdrawProject(project=project))
    audit.record(session, actor, "end-project", project, reason)
    return told
