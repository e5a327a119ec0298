"""Models in use at this hospital, and the worklist. Study keys are the node's own; no identifier is kept here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class Deployment(NodeTable):
    """A model on a pathway at a stage, and its place in the ledger. `suspended_for` is the reason code with which a
    person took it out of use; a model that another one took the place of has none."""

    __tablename__ = "deployments"

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    package: Mapped[str] = mapped_column(String(60))
    pathway: Mapped[str] = mapped_column(String(60))
    stage: Mapped[str] = mapped_column(String(20))
    active: Mapped[bool]
    deployed_by: Mapped[str] = mapped_column(String(80))
    deployed_at: Mapped[datetime] = mapped_column(UtcTime)
    entry: Mapped[int]
    suspended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    suspended_by: Mapped[str | None] = mapped_column(String(120))
    suspended_for: Mapped[str | None] = mapped_column(String(61))


class WorklistLine(NodeTable):
    """One study on the clinical path as one deployment dealt with it. `state` is one of `states.ReadingState`.

    `volume_ml` is the volume of what the model marked, in millilitres; `contrast` the standard deviation of the image's
    voxels above its background over their mean, by which a change of scanner shows. `result` is the result's file
    below the clinical folder. Times: `arrived_at` is that of the last image, `delivered_at` when the PACS had taken
    the result.
    """

    __tablename__ = "worklist"
    __table_args__ = (UniqueConstraint("study", "version", "deployment"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(String(32))
    version: Mapped[int]
    deployment: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(60), default="")
    finding: Mapped[str] = mapped_column(String(200), default="")
    volume_ml: Mapped[float | None]
    contrast: Mapped[float | None]
    result: Mapped[str | None] = mapped_column(String(200))
    result_uid: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(default=0)
    arrived_at: Mapped[datetime] = mapped_column(UtcTime)
    read_at: Mapped[datetime | None] = mapped_column(UtcTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcTime)
