"""What readings gave out. Files lie below the results folder; no identifier of a patient is kept here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class Output(NodeTable):
    """One document of one line of the worklist, and where it got to: `state` is one of `states.OutputState`.

    `file` is below the results folder, and None once it was purged. `due_at` is when the next step is: to be sent, or,
    of one that was sent, to be asked or given up waiting for. `transaction_uid` is that of a request for storage
    commitment that wasn't reported on yet.
    """

    __tablename__ = "outputs"

    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(ForeignKey("worklist.id"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    file: Mapped[str | None] = mapped_column(String(120))
    sop_class: Mapped[str] = mapped_column(String(64), default="")
    sop_instance: Mapped[str] = mapped_column(String(64), default="")
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(60), default="")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcTime)
    committed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    transaction_uid: Mapped[str | None] = mapped_column(String(64), index=True)
