"""What this hospital did in each run, and how models did on its held-out patients. None of it leaves as it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class RoundDone(NodeTable):
    """This site's part in one round: `entry` is its place in the ledger, `steps` what it took."""

    __tablename__ = "rounds_done"
    __table_args__ = (UniqueConstraint("run", "round", "digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(String(40), index=True)
    round: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    entry: Mapped[int]
    steps: Mapped[int]
    loss: Mapped[float]
    dice: Mapped[float]
    done_at: Mapped[datetime] = mapped_column(UtcTime)


class Judgement(NodeTable):
    """A model on this site's held-out patients: `dice` by the project's own pseudonyms. Only the mean is told."""

    __tablename__ = "judgements"
    __table_args__ = (UniqueConstraint("run", "label", "model"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(String(40), index=True)
    label: Mapped[str] = mapped_column(String(60))
    model: Mapped[str] = mapped_column(String(64))
    dice: Mapped[dict[str, Any]] = mapped_column(JSON)
    training: Mapped[int]
    judged_at: Mapped[datetime] = mapped_column(UtcTime)
