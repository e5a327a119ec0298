"""Questions that were asked of sites, and what each site told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.hub.base import HubTable


class CohortAsk(HubTable):
    """One asking of one question. `project` is null for a question that belongs to none; `by` are its breakdowns;
    `digest` is the SHA-256 of the question's canonical JSON."""

    __tablename__ = "cohort_asks"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    project: Mapped[str | None] = mapped_column(ForeignKey("projects.id"), index=True)
    asked_by: Mapped[str] = mapped_column(String(80))
    actor: Mapped[str] = mapped_column(String(120))
    question: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    words: Mapped[str] = mapped_column(Text)
    by: Mapped[list[str]] = mapped_column(JSON)
    asked_at: Mapped[datetime] = mapped_column(UtcTime, index=True)


class CohortReply(HubTable):
    """What one site was asked, as the task of that number, and what it told: `about` is null until it did
    (`told_at`), and afterwards where it told no number. `parts` are the groups that it told."""

    __tablename__ = "cohort_replies"

    ask: Mapped[str] = mapped_column(ForeignKey("cohort_asks.id"), primary_key=True)
    site: Mapped[str] = mapped_column(String(40), primary_key=True)
    task: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"))
    told_at: Mapped[datetime | None] = mapped_column(UtcTime)
    about: Mapped[int | None]
    parts: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
