"""Projects, the counts that sites told, and the sites' decisions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.hub.base import HubTable


class ProjectRow(HubTable):
    """A project. `document` is its canonical JSON; `state` is what is stored of `states.ProjectState`: `draft`,
    `submitted` or `withdrawn`."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    created_by: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    withdrawn_by: Mapped[str | None] = mapped_column(String(120))
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcTime)
    withdrawn_reason: Mapped[str | None] = mapped_column(String(61))


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
    """A site's newest answer to one edition of a project (`contracts.outbound.Answered`), with the index of the ledger
    entry that proves it and what that entry says: the last moment, the limits as JSON, the reason."""

    __tablename__ = "project_decisions"
    __table_args__ = (UniqueConstraint("project", "site"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    site: Mapped[str] = mapped_column(String(40))
    project_digest: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str] = mapped_column(String(10))
    entry: Mapped[int]
    until: Mapped[datetime | None] = mapped_column(UtcTime)
    limits: Mapped[bytes | None] = mapped_column(LargeBinary)
    reason: Mapped[str | None] = mapped_column(String(61))
    about: Mapped[int | None]
    decided_at: Mapped[datetime] = mapped_column(UtcTime)
