"""Reads of projects at the node."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from wardround.contracts.project import Project
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node.projects.tables import Decision, ManifestRow, ProjectRow


def row_of(session: Session, project: str) -> ProjectRow:
    """Raises `NotFound`, which names the projects that there are."""
    row = session.get(ProjectRow, project)
    if row is None:
        known = ", ".join(session.scalars(select(ProjectRow.id).order_by(ProjectRow.id))) or "none"
        raise NotFound(f"no project {project} was put before this hospital (there are: {known})")
    return row


def projects(session: Session) -> Sequence[ProjectRow]:
    return session.scalars(select(ProjectRow).order_by(ProjectRow.arrived_at)).all()


def project_of(row: ProjectRow) -> Project:
    """What is asked. Raises `NotAllowed` for an edition in a form of before this version."""
    try:
        return Project.model_validate_json(row.document)
    except ValidationError:
        raise NotAllowed(
            f"project {row.id} was put before this hospital by an earlier version and can't be read any more; the "
            "researcher creates it anew, under another name",
            code="edition-unreadable",
        ) from None


def decision_of(session: Session, row: ProjectRow) -> Decision | None:
    """What was decided on the edition that stands now."""
    return session.get(Decision, row.decision) if row.decision is not None else None


def decisions(session: Session, project: str) -> Sequence[Decision]:
    """All decisions on all editions of a project, in the order in which they were made."""
    return session.scalars(select(Decision).where(Decision.project == project).order_by(Decision.id)).all()


def manifest(session: Session, project: str) -> Sequence[ManifestRow]:
    """The cohort that the present decision froze, in the order of its studies, without those purged since."""
    statement = (
        select(ManifestRow)
        .join(ProjectRow, ProjectRow.decision == ManifestRow.decision)
        .where(ProjectRow.id == project, ManifestRow.removed_at.is_(None))
    )
    return session.scalars(statement.order_by(ManifestRow.study)).all()


def frozen(project: str) -> Select[str]:
    """The studies of the cohort that the present decision froze, without those that were purged since."""
    return (
        select(ManifestRow.study)
        .join(ProjectRow, ProjectRow.decision == ManifestRow.decision)
        .where(ProjectRow.id == project, ManifestRow.removed_at.is_(None))
    )


def untold(session: Session) -> Sequence[int]:
    """The decisions that the ledger or the hub doesn't have in full yet, of former editions too."""
    return session.scalars(select(Decision.id).where(Decision.told_at.is_(None)).order_by(Decision.decided_at)).all()
