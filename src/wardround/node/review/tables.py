"""What was asked of a person about an image, and the answer. No column holds an identifier or text of an image."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class PixelReview(NodeTable):
    """One object's question, by the digest of its content: an object that is sent again isn't asked about again.

    An erased instance takes its question with it.

    `reasons`, `frames` and `found` are those of the `Screening`: codes, frame numbers, boxes of text as
    `[row, column, height, width, frame or null]`. `blackened` are the boxes of a decision to redact, in the same form.
    `reason` is what the person who decided wrote.
    """

    __tablename__ = "pixel_reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("received_instances.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    series_key: Mapped[str] = mapped_column(String(32), index=True)
    sop_class: Mapped[str] = mapped_column(String(64))
    modality: Mapped[str] = mapped_column(String(16))
    image_frames: Mapped[int]
    rows: Mapped[int]
    columns: Mapped[int]
    reasons: Mapped[list[str]] = mapped_column(JSON)
    frames: Mapped[list[int]] = mapped_column(JSON)
    found: Mapped[list[list[int | None]]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), index=True)
    asked_at: Mapped[datetime] = mapped_column(UtcTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcTime)
    decided_by: Mapped[str | None] = mapped_column(String(120))
    reason: Mapped[str | None] = mapped_column(Text)
    blackened: Mapped[list[list[int | None]]] = mapped_column(JSON)
