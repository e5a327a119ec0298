"""Registered model versions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, String
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
