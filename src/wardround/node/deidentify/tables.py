"""What the way into the enclave remembers beside the index: studies that aren't whole yet, and erasures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class OpenStudy(NodeTable):
    """A study of the enclave that is still coming in; `received_study` is its row at the front door."""

    __tablename__ = "enclave_open_studies"

    study_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    received_study: Mapped[int] = mapped_column(index=True)


class Erasure(NodeTable):
    """An erasure that was ordered, and how far it came.

    `sealed` is what is needed to go on after a crash, sealed under the vault's key; it is gone once `finished_at` is
    set. `counts` says how many objects, rows and files went, by kind.
    """

    __tablename__ = "erasures"

    id: Mapped[int] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(String(120))
    reason: Mapped[str] = mapped_column(Text)
    ordered_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)


class Reidentification(NodeTable):
    """A look behind a pseudonym. The ledger has `record`, the salted digest of this row; without `salt`, which goes
    when the person is erased, that says nothing any more."""

    __tablename__ = "reidentifications"

    id: Mapped[int] = mapped_column(primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(64), index=True)
    actor: Mapped[str] = mapped_column(String(120))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcTime)
    salt: Mapped[bytes] = mapped_column(LargeBinary(32))
    record: Mapped[str] = mapped_column(String(64))
