"""Pulls and their studies. What names a patient is sealed (`sealing`); keys are the front door's own."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class PullJob(NodeTable):
    """One order to pull. `state` is one of `states.JobState`; `note` says why it was paused, as a reason code."""

    __tablename__ = "pull_jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(String(120))
    path: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    note: Mapped[str] = mapped_column(String(60), default="")
    ordered_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class PullItem(NodeTable):
    """One ask, or one study that an ask was found to mean. `state` is one of `states.StudyState`.

    line: the ask's number in the order, from 1. sealed: the ask, empty once forgotten. study_key: the front door's key
    of the study. expected: the number of instances that the PACS states. status: the last DIMSE status that wasn't
    success. due_at: not before. moved_at: when it was last asked for. changed_at: the last sign of progress.
    """

    __tablename__ = "pull_items"
    __table_args__ = (Index("ix_pull_items_due", "state", "due_at"), Index("ix_pull_items_job", "job_id", "state"))

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("pull_jobs.id"))
    line: Mapped[int]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(60), default="")
    status: Mapped[int | None]
    study_key: Mapped[str | None] = mapped_column(String(32))
    expected: Mapped[int | None]
    arrived: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    moved_at: Mapped[datetime | None] = mapped_column(UtcTime, index=True)
    changed_at: Mapped[datetime] = mapped_column(UtcTime)
