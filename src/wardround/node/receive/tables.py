"""What the node remembers of each arrival. No column holds an identifier: keys are HMACs, file names are random."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class ReceivedStudy(NodeTable):
    """A study on one path. Its key names its folder under `clinical/`. `reopened` counts how often an instance came
    after the study was complete."""

    __tablename__ = "received_studies"
    __table_args__ = (UniqueConstraint("path", "study_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(String(16))
    study_key: Mapped[str] = mapped_column(String(32))
    first_at: Mapped[datetime] = mapped_column(UtcTime)
    last_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    completed_at: Mapped[datetime | None] = mapped_column(UtcTime, index=True)
    reopened: Mapped[int] = mapped_column(default=0)


class ReceivedInstance(NodeTable):
    """An instance on one path. `file` is its random name, relative to the root of its path, while it is on disk."""

    __tablename__ = "received_instances"
    __table_args__ = (
        UniqueConstraint("path", "instance_key", "digest"),
        # Of several contents under one SOP Instance UID at most one is in use.
        Index(
            "uq_received_instances_in_use",
            "path",
            "instance_key",
            unique=True,
            sqlite_where=text("state NOT IN ('refused', 'purged')"),
            postgresql_where=text("state NOT IN ('refused', 'purged')"),
        ),
        Index("ix_received_instances_study_state", "study_id", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int | None] = mapped_column(ForeignKey("received_studies.id"))
    path: Mapped[str] = mapped_column(String(16))
    instance_key: Mapped[str] = mapped_column(String(32))
    series_key: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    file: Mapped[str | None] = mapped_column(String(80))
    called_title: Mapped[str] = mapped_column(String(16))
    calling_title: Mapped[str] = mapped_column(String(16))
    late: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str | None] = mapped_column(String(64))
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    changed_at: Mapped[datetime] = mapped_column(UtcTime)
