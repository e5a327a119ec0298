"""Reads of projects at the node, and the rule that all work for a project passes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.project import Project
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node.projects.states import DecisionState
from wardround.node.projects.tables import ManifestRow, ProjectRow


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
    return Project.model_validate_json(row.document)


def manifest(session: Session, project: str) -> Sequence[ManifestRow]:
    """The frozen cohort, in the order of its studies, without those that were purged since."""
    statement = select(ManifestRow).where(ManifestRow.project == project, ManifestRow.removed_at.is_(None))
    return session.scalars(statement.order_by(ManifestRow.study)).all()


def untold(session: Session) -> Sequence[str]:
    """Decisions that the hub doesn't have in full yet."""
    statement = select(ProjectRow.id).where(ProjectRow.state != DecisionState.WAITING, ProjectRow.told_at.is_(None))
    return session.scalars(statement.order_by(ProjectRow.decided_at)).all()


def check_may_work(session: Session, project: str, digest: str, *, today: date) -> ProjectRow:
    """May this node work for that edition of a project? The one rule, whatever the hub says.

    Raises:
        NotAllowed: this hospital's data controller hasn't approved exactly this edition (`not-approved`), it has
            expired (`expired`), or its manifest isn't on the ledger (`no-manifest`).
    """
    row = session.get(ProjectRow, project)
    if row is None or row.state != DecisionState.APPROVED or row.digest != digest:
        raise NotAllowed(f"no approval of this edition of {project} by this hospital", code="not-approved")
    if project_of(row).ends < today:
        raise NotAllowed(f"the approval of {project} has expired", code="expired")
    if row.manifest_index is None:
        raise NotAllowed(f"the manifest of {project} isn't on the ledger yet", code="no-manifest")
    return row
