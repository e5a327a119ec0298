"""The queue of tasks for each site."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.hub.base import HubTable

_NUMBER = BigInteger().with_variant(Integer, "sqlite")


class TaskCounter(HubTable):
    """One row, the number given last. Whoever adds a task locks it until the end of the transaction, so that
    numbers become visible in their order and a node that asks for those above `n` misses none."""

    __tablename__ = "task_counter"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(_NUMBER)


class QueuedTask(HubTable):
    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'done', 'refused', 'failed')", name="state"),
        Index("ix_tasks_site_number", "site", "number"),
    )

    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True, autoincrement=False)
    site: Mapped[str] = mapped_column(ForeignKey("sites.name"))
    kind: Mapped[str] = mapped_column(String(40))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(61))
    reported_at: Mapped[datetime | None] = mapped_column(UtcTime)
