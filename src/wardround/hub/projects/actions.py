"""What people do with projects at the hub, and what sites answer. Each writes its audit row with it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Approval, Refusal, Withdrawal
from wardround.contracts.outbound import CohortAnswer, ProjectDecision
from wardround.contracts.project import Project
from wardround.contracts.task import Axis, ConsiderProject
from wardround.foundation.errors import Conflict, NotAllowed
from wardround.hub import audit
from wardround.hub.cohorts.actions import ask
from wardround.hub.cohorts.tables import CohortAsk
from wardround.hub.projects import queries
from wardround.hub.projects.states import ProjectState, check_transition
from wardround.hub.projects.tables import CountRow, DecisionRow, ProjectRow
from wardround.hub.sites.queries import members
from wardround.hub.tasks.actions import enqueue


def draft(session: Session, project: Project, *, actor: str, at: datetime) -> None:
    """Keep a new project, or a new edition of one that is still a draft.

    Raises:
        Conflict: it was submitted already; what hospitals signed isn't edited.
    """
    row = session.get(ProjectRow, project.id)
    if row is None:
        row = ProjectRow(id=project.id, created_by=actor, created_at=at, state=ProjectState.DRAFT)
        session.add(row)
    elif row.state != ProjectState.DRAFT:
        raise Conflict(f"project {project.id} is {row.state} and can't be edited; create one under another name")
    row.document = project.canonical()
    row.digest = project.content_digest()
    audit.record(session, actor, "draft-project", project.id, row.digest)


def ask_counts(session: Session, project: str, *, by: tuple[Axis, ...] = (), actor: str, at: datetime) -> CohortAsk:
    """Ask every active site how many people the project's question finds, under its researcher's name.

    Args:
        by: what to break the answers down by, each once.

    Raises:
        NotAllowed: no site has joined.
    """
    asked = queries.project_of(session, project)
    return ask(session, asked.cohort, asked_by=asked.researcher, project=project, by=by, actor=actor, at=at)


def submit(session: Session, project: str, *, actor: str, at: datetime) -> list[str]:
    """Put the project before every active site's data controller; returns those sites.

    Raises:
        NotAllowed: it isn't a draft, its last day is past, or no site has joined.
    """
    row = queries.row_of(session, project)
    check_transition(project, queries.state_of(session, project, at.date()), ProjectState.SUBMITTED)
    sites = members(session)
    if not sites:
        raise NotAllowed("no site has joined this federation yet; `wardround hub invite SITE` invites one")
    row.state = ProjectState.SUBMITTED
    task = ConsiderProject(project=queries.project_of(session, project))
    for site in sites:
        enqueue(session, site, task)
    audit.record(session, actor, "submit-project", project, row.digest)
    return sites


def take_count(session: Session, site: str, project: str, answer: CohortAnswer, *, at: datetime) -> None:
    """Keep a site's count for a project; a newer answer to the same question replaces the older one."""
    row = session.scalar(
        select(CountRow).where(CountRow.project == project, CountRow.site == site, CountRow.question == answer.question)
    )
    if row is None:
        row = CountRow(project=project, site=site, question=answer.question)
        session.add(row)
    row.about = answer.people.about
    row.told_at = at


DecisionEntry = Approval | Refusal | Withdrawal


def take_decision(
    session: Session, site: str, decision: ProjectDecision, entry: DecisionEntry, *, at: datetime
) -> None:
    """Keep a site's answer, with what its ledger entry says. The caller has checked that the entry is the answer's.

    An answer whose entry is older than that of the one kept changes nothing, so that a message that comes late can't
    bring back what was withdrawn.

    Raises:
        Conflict: it is on another edition.
    """
    row = queries.row_of(session, decision.project)
    if row.digest != decision.project_digest:
        raise Conflict("the decision is on another edition of this project; consider it again")
    kept = session.scalar(select(DecisionRow).where(DecisionRow.project == decision.project, DecisionRow.site == site))
    if kept is None:
        kept = DecisionRow(project=decision.project, site=site)
        session.add(kept)
    elif kept.project_digest == decision.project_digest and kept.entry > decision.entry:
        return
    kept.project_digest = decision.project_digest
    kept.answer = decision.answer
    kept.entry = decision.entry
    kept.about = decision.people.about
    kept.until = entry.until if isinstance(entry, Approval) else None
    limits = entry.limits if isinstance(entry, Approval) else None
    kept.limits = None if limits is None else limits.canonical()
    kept.reason = None if isinstance(entry, Approval) else entry.reason
    kept.decided_at = at
    verb = {"approved": "approve-project", "refused": "refuse-project", "withdrawn": "withdraw-project"}
    audit.record(session, f"site:{site}", verb[decision.answer], decision.project, str(decision.entry))
