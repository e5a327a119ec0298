"""The opt-outs and what they are matched with. No column holds an identifier: each key is an HMAC under the site's
secret, of an identifier in its canonical form (`wardround.node.optout.identifier`)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.node.base import NodeTable


class OptOutScheme(NodeTable):
    """How somebody else hashed the identifiers of a list that was loaded; its salt or key is sealed."""

    __tablename__ = "opt_out_schemes"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    added_at: Mapped[datetime] = mapped_column(UtcTime)


class OptOut(NodeTable):
    """One identifier whose owner opted out."""

    __tablename__ = "opt_outs"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    scheme: Mapped[int | None] = mapped_column(ForeignKey("opt_out_schemes.id"))
    added_at: Mapped[datetime] = mapped_column(UtcTime)
    added_by: Mapped[str] = mapped_column(String(120))


class PatientKey(NodeTable):
    """One identifier of a patient in the enclave: what an opt-out is matched with after the fact."""

    __tablename__ = "patient_keys"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
