"""Workitems. Whose they are is said by the study's own files when it is asked; no identifier is kept here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class Workitem(NodeTable):
    """A task on one study of the clinical path, in a state of `states.StepState`.

    `line` is that of the worklist which this node itself works on; a task of others' has none. `study` is the study's
    key. `code`, `scheme` and `meaning` say what is to be done (Scheduled Workitem Code). `transaction_uid` is what it
    was claimed with, which nobody is told. `performed` is the DICOM JSON of what its performer said of the work, and
    `reason` why it was to be canceled.
    """

    __tablename__ = "workitems"

    uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    study: Mapped[str] = mapped_column(String(32), index=True)
    line: Mapped[int | None] = mapped_column(ForeignKey("worklist.id"), unique=True)
    code: Mapped[str] = mapped_column(String(16))
    scheme: Mapped[str] = mapped_column(String(16))
    meaning: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(64))
    priority: Mapped[str] = mapped_column(String(6))
    state: Mapped[str] = mapped_column(String(11), index=True)
    transaction_uid: Mapped[str | None] = mapped_column(String(64))
    performed: Mapped[bytes | None] = mapped_column(LargeBinary)
    reason: Mapped[str] = mapped_column(String(64), default="")
    made_by: Mapped[str] = mapped_column(String(120))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    changed_at: Mapped[datetime] = mapped_column(UtcTime)
