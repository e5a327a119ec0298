"""Registered model versions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.hub.base import HubTable


class ModelRow(HubTable):
    """A model version. `digest` is its package's (`learning.bundle.bundle_digest`); `archive` and `weights` name
    objects: the package as one file, and its weights alone, under which the sites judged it."""

    __tablename__ = "models"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    package: Mapped[str] = mapped_column(String(60))
    archive: Mapped[str] = mapped_column(String(64))
    weights: Mapped[str] = mapped_column(String(64))
    run: Mapped[str] = mapped_column(String(40))
    round: Mapped[int]
    metrics: Mapped[bytes] = mapped_column(LargeBinary)
    entry: Mapped[int]
    registered_at: Mapped[datetime] = mapped_column(UtcTime)


class EvidenceRow(HubTable):
    """What a site told of a model's validation on its own patients under a plan: `summary` is the canonical JSON of its
    newest message (`contracts.outbound.EvidenceSummary`), `entry` the place of its evidence on the ledger."""

    __tablename__ = "evidence_summaries"
    __table_args__ = (UniqueConstraint("site", "model", "plan"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(String(64), index=True)
    plan: Mapped[str] = mapped_column(String(64))
    summary: Mapped[bytes] = mapped_column(LargeBinary)
    entry: Mapped[int]
    taken_at: Mapped[datetime] = mapped_column(UtcTime)


class ModelText(HubTable):
    """An edition of what people wrote about a model: `text` is canonical JSON (`contracts.model_card.CardText`), whole;
    the last one counts, and all are kept."""

    __tablename__ = "model_texts"

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(64), index=True)
    text: Mapped[bytes] = mapped_column(LargeBinary)
    written_by: Mapped[str] = mapped_column(String(120))
    written_at: Mapped[datetime] = mapped_column(UtcTime)
