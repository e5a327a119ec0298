"""Reads of projects at the hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.approval_limits import ApprovalLimits, Terms, terms_of
from wardround.contracts.disclosure import Count
from wardround.contracts.outbound import Answered
from wardround.contracts.project import Project
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.hub.projects.states import Facts, ProjectState, state_now
from wardround.hub.projects.tables import CountRow, DecisionRow, ProjectRow
from wardround.hub.runs.tables import RunRow

_ANSWER: TypeAdapter[Answered] = TypeAdapter(Answered)


@dataclass(frozen=True)
class SiteDecision:
    """What one site answered to the edition of the project that stands now. `until` is the last day of use there."""

    site: str
    answer: Answered
    entry: int
    people: Count
    until: date | None
    limits: ApprovalLimits
    reason: str | None

    def holds(self, today: date) -> bool:
        """Is it an approval that hasn't run out?"""
        return self.answer == "approved" and (self.until is None or self.until >= today)

    def in_words(self, today: date) -> str:
        """For people: the answer, its reason, until when, and each limit."""
        if self.answer != "approved":
            return f"{self.answer} ({self.reason})"
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d}"
        words = [f"approved{until}" if self.holds(today) else f"expired{until.replace(' until', ' on')}"]
        return "; ".join([*words, *self.limits.model_copy(update={"until": None}).in_words()])


def row_of(session: Session, project: str) -> ProjectRow:
    """Raises `NotFound`, which names the projects that there are."""
    row = session.get(ProjectRow, project)
    if row is None:
        known = ", ".join(session.scalars(select(ProjectRow.id).order_by(ProjectRow.id))) or "none yet"
        raise NotFound(f"there is no project {project} (known: {known}); `wardround project create` makes one")
    return row


def project_of(session: Session, project: str) -> Project:
    """What is asked. Raises `NotFound`, and `NotAllowed` for a project in a form of before this version."""
    return _read(row_of(session, project))


def _read(row: ProjectRow) -> Project:
    try:
        return Project.model_validate_json(row.document)
    except ValidationError:
        raise NotAllowed(
            f"project {row.id} was made by an earlier version and can't be read any more; create it anew, under "
            "another name",
            code="edition-unreadable",
        ) from None


def state_of(session: Session, project: str, today: date) -> ProjectState:
    """The state of a project on a day. Raises `NotFound`."""
    row = row_of(session, project)
    asked = _read(row)
    mine = select(func.count()).select_from(RunRow).where(RunRow.project == project)
    facts = Facts(
        stored=ProjectState(row.state),
        ends=asked.ends,
        runs=asked.runs,
        started=session.scalar(mine) or 0,
        running=bool(session.scalar(mine.where(RunRow.ended_at.is_(None)))),
    )
    return state_now(facts, today)


def projects(session: Session) -> Sequence[ProjectRow]:
    return session.scalars(select(ProjectRow).order_by(ProjectRow.created_at)).all()


def counts(session: Session, project: Project) -> dict[str, Count]:
    """The answers to the cohort question as it stands, by site."""
    rows = session.scalars(
        select(CountRow).where(CountRow.project == project.id, CountRow.question == project.cohort.content_digest())
    )
    return {row.site: Count(about=row.about) for row in rows}


def decisions(session: Session, project: str) -> list[SiteDecision]:
    """The decisions on the edition that stands now; one on an earlier edition is void."""
    digest = row_of(session, project).digest
    rows = session.scalars(
        select(DecisionRow)
        .where(DecisionRow.project == project, DecisionRow.project_digest == digest)
        .order_by(DecisionRow.site)
    )
    return [
        SiteDecision(
            site=row.site,
            answer=_ANSWER.validate_python(row.answer),
            entry=row.entry,
            people=Count(about=row.about),
            until=None if row.until is None else row.until.date(),
            limits=ApprovalLimits() if row.limits is None else ApprovalLimits.model_validate_json(row.limits),
            reason=row.reason,
        )
        for row in rows
    ]


def approving_sites(session: Session, project: str, today: date) -> list[str]:
    """The sites whose approval holds today; none of a project that is over."""
    if row_of(session, project).state == ProjectState.WITHDRAWN or project_of(session, project).ends < today:
        return []
    return [decision.site for decision in decisions(session, project) if decision.holds(today)]


def terms_at(session: Session, project: str) -> dict[str, Terms]:
    """What holds at each site that approved, by what its entry says."""
    asked = project_of(session, project)
    return {
        decision.site: terms_of(asked, decision.limits)
        for decision in decisions(session, project)
        if decision.answer == "approved"
    }
