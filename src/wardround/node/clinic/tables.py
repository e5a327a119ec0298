"""Models in use at this hospital, and the worklist. Study keys are the node's own; no identifier is kept here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class Deployment(NodeTable):
    """A model on a pathway at a stage. `suspended_for` is the reason code with which a person took it out of use; a
    model that another one took the place of has none. `ready_at`: since when it has been loaded to read, at first."""

    __tablename__ = "deployments"

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(64))
    package: Mapped[str] = mapped_column(String(60))
    pathway: Mapped[str] = mapped_column(String(60))
    stage: Mapped[str] = mapped_column(String(20))
    active: Mapped[bool]
    deployed_by: Mapped[str] = mapped_column(String(80))
    deployed_at: Mapped[datetime] = mapped_column(UtcTime)
    suspended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    suspended_by: Mapped[str | None] = mapped_column(String(120))
    suspended_for: Mapped[str | None] = mapped_column(String(61))
    ready_at: Mapped[datetime | None] = mapped_column(UtcTime)

    @property
    def name(self) -> str:
        """What an outline that a person drew with its help says of it."""
        return f"{self.package} {self.model[:12]}"


class WorklistLine(NodeTable):
    """One study on the clinical path as one deployment dealt with it. `state` is one of `states.ReadingState`.

    `volume_ml` is the volume of what the model marked, in millilitres; `contrast` the standard deviation of the image's
    voxels above its background over their mean, by which a change of scanner shows. `result` is the result's file
    below the clinical folder. Times: `arrived_at` is that of the last image, `delivered_at` when the PACS had taken
    the result, `due_at` until when one is wanted. `priority` is `emergency` or `routine`. `definition` is the digest
    of the pathway's file as it was when the study came. `value` is what the model told: ml of an outline, a probability
    or a number; `flagged` whether that is beyond the pathway's bounds. `read_as` is the stage that it was read at.
    `prior` is the key of the earlier study that was read beside it, empty where the pathway asks for one and none would
    do, and `prior_days` how much earlier that was made.
    `image` are numbers on the image, by which a change of scanner shows (`learning.statistics.embedding.looked_at`).
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
    image: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True))
    result: Mapped[str | None] = mapped_column(String(200))
    result_uid: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(default=0)
    arrived_at: Mapped[datetime] = mapped_column(UtcTime)
    read_at: Mapped[datetime | None] = mapped_column(UtcTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcTime)
    due_at: Mapped[datetime | None] = mapped_column(UtcTime)
    priority: Mapped[str] = mapped_column(String(10), default="routine")
    definition: Mapped[str] = mapped_column(String(64), default="")
    value: Mapped[float | None]
    flagged: Mapped[bool] = mapped_column(default=False)
    read_as: Mapped[str] = mapped_column(String(20), default="")
    prior: Mapped[str | None] = mapped_column(String(32))
    prior_days: Mapped[int | None]


class WorklistAnswer(NodeTable):
    """What a person did with a line of the worklist: one of `states.AnswerVerb`. All stay; the last judgement counts.

    `shown` is whether the model's result was before them. `found` is what they say is there themselves, `reason` the
    code with which they correct or reject, `label` whether the result may serve as a reference label, and
    `labelled` what became of that (`labelling`): empty while it waits, `made`, `withdrawn` where the answer changed
    later, or the code of why not. `outline` is the file of the outline as they corrected it, beside the results, and
    `overlap` Dice between it and the model's.
    """

    __tablename__ = "worklist_answers"

    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(ForeignKey("worklist.id"), index=True)
    verb: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(120))
    shown: Mapped[bool]
    found: Mapped[bool | None]
    reason: Mapped[str] = mapped_column(String(60), default="")
    label: Mapped[bool] = mapped_column(default=False)
    labelled: Mapped[str] = mapped_column(String(20), default="", server_default="")
    outline: Mapped[str | None] = mapped_column(String(200))
    overlap: Mapped[float | None]
    at: Mapped[datetime] = mapped_column(UtcTime)
