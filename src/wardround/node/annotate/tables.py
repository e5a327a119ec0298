"""What annotation keeps: who had which case before them, every label that was saved, and what is known of images.

Series are the enclave's, people are accounts of this node; no identifier of a patient is kept here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class AnnotationSitting(NodeTable):
    """A person with a case before them. While it lasts nobody else is offered the case, unless several are to draw it.

    `seat` is `<series>#<number>` while the sitting lasts and nothing afterwards, so that of two people who draw at one
    moment one gets another case. `ended` says how it came to its end: `saved`, `passed` on, or `expired` at `until`.
    `model` is what helped in it last.
    """

    __tablename__ = "annotation_sittings"

    id: Mapped[int] = mapped_column(primary_key=True)
    series: Mapped[str] = mapped_column(String(64), index=True)
    pseudonym: Mapped[str] = mapped_column(String(64), index=True)
    person: Mapped[str] = mapped_column(String(120), index=True)
    strategy: Mapped[str] = mapped_column(String(20))
    seat: Mapped[str | None] = mapped_column(String(80), unique=True)
    model: Mapped[str] = mapped_column(String(80))
    began_at: Mapped[datetime] = mapped_column(UtcTime)
    until: Mapped[datetime] = mapped_column(UtcTime)
    ended: Mapped[str] = mapped_column(String(8))


class AnnotationLabel(NodeTable):
    """A label as somebody saved it; it is never changed, and a later one of the same series has the next `version`.

    seg, nifti: the digests of its two files. model: what helped to draw it, empty where nothing did. seconds: from the
    moment when the case was given to its author; None where it was given to nobody. state: one of `states.LabelState`.
    object_uid: of an accepted one its SOP Instance UID in the enclave.
    """

    __tablename__ = "annotation_labels"
    __table_args__ = (UniqueConstraint("series", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    series: Mapped[str] = mapped_column(String(64))
    study: Mapped[str] = mapped_column(String(64))
    pseudonym: Mapped[str] = mapped_column(String(64), index=True)
    tag: Mapped[str] = mapped_column(String(40))
    version: Mapped[int]
    author: Mapped[str] = mapped_column(String(120))
    model: Mapped[str] = mapped_column(String(80))
    seconds: Mapped[float | None]
    seg: Mapped[str] = mapped_column(String(64))
    nifti: Mapped[str] = mapped_column(String(64))
    voxels: Mapped[int]
    volume_ml: Mapped[float]
    note: Mapped[str] = mapped_column(Text)
    saved_at: Mapped[datetime] = mapped_column(UtcTime)
    state: Mapped[str] = mapped_column(String(12))
    decided_by: Mapped[str | None] = mapped_column(String(120))
    decided_at: Mapped[datetime | None] = mapped_column(UtcTime)
    reason: Mapped[str] = mapped_column(Text)
    object_uid: Mapped[str | None] = mapped_column(String(64))


class AnnotationTrait(NodeTable):
    """What is known of an image for choosing the next one: a cache, which costs time only to lose.

    digest: of the objects that it was worked out from. look: a short vector of how the image looks, empty where it is
    no volume. doubt: how unsure the model called `model` is of it, from 0; None where no model was asked.
    """

    __tablename__ = "annotation_traits"

    series: Mapped[str] = mapped_column(String(64), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(64), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    look: Mapped[list[Any]] = mapped_column(JSON)
    doubt: Mapped[float | None]
    model: Mapped[str] = mapped_column(String(80))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
