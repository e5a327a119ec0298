"""What a project's training spent of its patients' privacy budget here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class Charge(NodeTable):
    """Steps of DP-SGD that were paid for before they were done; a row is never taken back, whatever became of them.

    `lesson` is the SHA-256 of all that the steps follow from: the same lesson, done again, is paid for already.
    `update` is the digest of the one update that it gave, null while there is none. `epsilon`, at `delta`, is that of
    all charges of the project so far.
    """

    __tablename__ = "privacy_charges"

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str] = mapped_column(String(40), index=True)
    lesson: Mapped[str] = mapped_column(String(64), unique=True)
    run: Mapped[str] = mapped_column(String(40))
    round: Mapped[int]
    noise_multiplier: Mapped[float]
    sample_rate: Mapped[float]
    steps: Mapped[int]
    epsilon: Mapped[float]
    delta: Mapped[float]
    update: Mapped[str | None] = mapped_column(String(64))
    charged_at: Mapped[datetime] = mapped_column(UtcTime)
