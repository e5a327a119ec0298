"""Tasks taken from the hub, and reports that wait to be handed in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.audit import Key
from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class TakenTask(NodeTable):
    """A task as the hub numbered it; written before its number is acknowledged by asking for higher ones."""

    __tablename__ = "tasks_taken"
    __table_args__ = (CheckConstraint("state IN ('taken', 'done', 'refused', 'failed')", name="state"),)

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False
    )
    kind: Mapped[str] = mapped_column(String(40))
    body: Mapped[str] = mapped_column(Text)
    taken_at: Mapped[datetime] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(String(10), index=True)
    reason: Mapped[str | None] = mapped_column(String(61))
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class OutboxMessage(NodeTable):
    """A message that is to leave, kept until the hub answered. An attachment lies in the home's `outbox` folder
    under its digest."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(40))
    message: Mapped[str] = mapped_column(Text)
    attachment: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcTime, index=True)
    refused: Mapped[str | None] = mapped_column(String(61))
