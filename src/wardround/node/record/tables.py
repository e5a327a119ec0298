"""Entries of this site that wait for the hub."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class OutgoingEntry(NodeTable):
    """A signed entry, kept in the same transaction as what it tells of. `index` is its place in the ledger once the
    hub took it, `refused` the hub's code if it won't."""

    __tablename__ = "ledger_outgoing"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    signed: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    index: Mapped[int | None]
    refused: Mapped[str | None] = mapped_column(String(61))
