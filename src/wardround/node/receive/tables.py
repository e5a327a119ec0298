"""What the node remembers of each arrival. No column holds an identifier: keys are HMACs, file names are random."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable

_IN_USE = text("state NOT IN ('refused', 'purged', 'discarded')")


class ReceivedStudy(NodeTable):
    """A study on one path, or on none. Its key names its folder under `clinical/`.

    `reopened` counts how often an instance came after the study was complete. `stated` is how many instances the
    PACS said that it has, where it was asked.
    """

    __tablename__ = "received_studies"
    __table_args__ = (UniqueConstraint("path", "study_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(String(16))
    study_key: Mapped[str] = mapped_column(String(32))
    first_at: Mapped[datetime] = mapped_column(UtcTime)
    last_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    completed_at: Mapped[datetime | None] = mapped_column(UtcTime, index=True)
    reopened: Mapped[int] = mapped_column(default=0)
    stated: Mapped[int | None]


class IntakeRule(NodeTable):
    """A rule of routing as it was when it took an instance: its name, where it sends, and why."""

    __tablename__ = "intake_rules"
    __table_args__ = (UniqueConstraint("name", "target", "reason"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(80))
    reason: Mapped[str] = mapped_column(String(200))


class ReceivedInstance(NodeTable):
    """An instance on one path, or on none where it was refused or discarded at the door.

    `file` is its random name, relative to the root of its path, while it is on disk. `sop_class` is empty in rows
    from before it was kept.
    """

    __tablename__ = "received_instances"
    __table_args__ = (
        UniqueConstraint("path", "instance_key", "digest"),
        # Of several contents under one SOP Instance UID at most one is in use.
        Index(
            "uq_received_instances_in_use",
            "path",
            "instance_key",
            unique=True,
            sqlite_where=_IN_USE,
            postgresql_where=_IN_USE,
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
    sop_class: Mapped[str] = mapped_column(String(64), server_default="")
    rule_id: Mapped[int | None] = mapped_column(ForeignKey("intake_rules.id"))


class TurnedAway(NodeTable):
    """How often an object was not taken and nothing of it was kept, by the cause."""

    __tablename__ = "intake_turned_away"

    reason: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime] = mapped_column(UtcTime)


class CommitmentRow(NodeTable):
    """A request to take responsibility for instances, until its answer was delivered or given up.

    `file` holds what was asked, which names instances, beside the quarantined objects; it goes with the answer.
    """

    __tablename__ = "commitment_requests"

    id: Mapped[int] = mapped_column(primary_key=True)
    file: Mapped[str] = mapped_column(String(80))
    calling_title: Mapped[str] = mapped_column(String(16))
    called_title: Mapped[str] = mapped_column(String(16))
    instances: Mapped[int]
    failed: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int]
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    requested_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
