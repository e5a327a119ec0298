"""Projects, the counts that sites told, and the sites' decisions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.hub.base import HubTable


class ProjectRow(HubTable):
    """A project. `document` is its canonical JSON; `state` is one of `states.ProjectState`."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    created_by: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class CountRow(HubTable):
    """What one site told of one question; `about` is null for fewer than ten."""

    __tablename__ = "cohort_counts"
    __table_args__ = (UniqueConstraint("project", "site", "question"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    site: Mapped[str] = mapped_column(String(40))
    question: Mapped[str] = mapped_column(String(64))
    about: Mapped[int | None]
    told_at: Mapped[datetime] = mapped_column(UtcTime)


class DecisionRow(HubTable):
    """A site's decision on one edition of a project, with the index of the ledger entry that proves it."""

    __tablename__ = "project_decisions"
    __table_args__ = (UniqueConstraint("project", "site"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    site: Mapped[str] = mapped_column(String(40))
    project_digest: Mapped[str] = mapped_column(String(64))
    approved: Mapped[bool]
    entry: Mapped[int]
    about: Mapped[int | None]
    decided_at: Mapped[datetime] = mapped_column(UtcTime)
