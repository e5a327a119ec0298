"""What this node knows of its own membership."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class Membership(NodeTable):
    """One row. `hub_ledger_verifier` is the key (C2SP vkey) that the hub's checkpoints must be signed with."""

    __tablename__ = "membership"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    site: Mapped[str] = mapped_column(String(40))
    federation: Mapped[str] = mapped_column(String(40))
    joined_at: Mapped[datetime] = mapped_column(UtcTime)
    root_fingerprint: Mapped[str] = mapped_column(String(64))
    hub_ledger_verifier: Mapped[str] = mapped_column(String(400))
    certificate_until: Mapped[datetime] = mapped_column(UtcTime)
