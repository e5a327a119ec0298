"""Reads of projects at the hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.disclosure import Count
from wardround.contracts.project import Project
from wardround.foundation.errors import NotFound
from wardround.hub.projects.states import ProjectState
from wardround.hub.projects.tables import CountRow, DecisionRow, ProjectRow


@dataclass(frozen=True)
class SiteDecision:
    """What one site decided on the edition of the project that stands now."""

    site: str
    approved: bool
    entry: int
    people: Count


def row_of(session: Session, project: str) -> ProjectRow:
    """Raises `NotFound`, which names the projects that there are."""
    row = session.get(ProjectRow, project)
    if row is None:
        known = ", ".join(session.scalars(select(ProjectRow.id).order_by(ProjectRow.id))) or "none yet"
        raise NotFound(f"there is no project {project} (known: {known}); `wardround project create` makes one")
    return row


def project_of(session: Session, project: str) -> Project:
    return Project.model_validate_json(row_of(session, project).document)


def state_of(session: Session, project: str) -> ProjectState:
    return ProjectState(row_of(session, project).state)


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
    return [SiteDecision(row.site, row.approved, row.entry, Count(about=row.about)) for row in rows]


def approving_sites(session: Session, project: str) -> list[str]:
    return [decision.site for decision in decisions(session, project) if decision.approved]
