"""The log of cohort questions at this node: who asked what for which project, and what was told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.audit import Key
from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class AskedQuestion(NodeTable):
    """One question, once it was read; rows are kept for good.

    `outcome` is `asked` until it is known, so that a crash leaves the question paid for; `told`; `repeated`, where the
    answer is the one that was told before and nothing is paid; or `refused`, with the reason's code. `project` is
    empty for a question that belongs to none; `digest` is the SHA-256 of the question's canonical JSON, or of its
    bytes where it couldn't be read. `told` is what was told, as the message has it; `cost` what it takes of the
    budget. `people` is the exact number found, which stays here; `near` how many other questions of the same person for
    the same project found as many, give or take two: the mark of somebody who asks about single people.
    """

    __tablename__ = "cohort_questions"
    __table_args__ = (
        CheckConstraint("outcome IN ('asked', 'told', 'repeated', 'refused')", name="outcome"),
        Index("ix_cohort_questions_asker", "asked_by", "project", "at"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    ask: Mapped[str] = mapped_column(String(16), index=True)
    asked_by: Mapped[str] = mapped_column(String(80))
    project: Mapped[str] = mapped_column(String(40))
    digest: Mapped[str] = mapped_column(String(64))
    words: Mapped[str] = mapped_column(Text)
    by: Mapped[list[str]] = mapped_column(JSON)
    outcome: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(61))
    told: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    cost: Mapped[int]
    people: Mapped[int | None]
    near: Mapped[int] = mapped_column(server_default="0")
