"""The egress log: a row for all that left this node or tried to."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.audit import Key
from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class Egress(NodeTable):
    """One message. `outcome` is `sending` until its end is known, so a crash leaves it counted as gone.

    `digest` is the SHA-256 of the body; none for bytes that the engine's own connection carried, which are only
    counted, and none for what this hospital's policy held back: it is `refused`, its reason is the policy's, and
    nothing of it left. `answer_bytes` is the size of what came back.
    """

    __tablename__ = "egress"
    __table_args__ = (
        CheckConstraint(
            "outcome IN ('sending', 'sent', 'carried', 'refused', 'unanswered', 'unreachable', 'untrusted')",
            name="outcome",
        ),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    kind: Mapped[str] = mapped_column(String(40), index=True)
    project: Mapped[str | None] = mapped_column(String(40), index=True)
    run: Mapped[str | None] = mapped_column(String(40))
    size: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str | None] = mapped_column(String(61))
    answer_bytes: Mapped[int | None] = mapped_column(BigInteger)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
