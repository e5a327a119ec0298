"""Sites and the invites by which they join."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from wardround.foundation.columns import UtcTime
from wardround.hub.base import HubTable


class Site(HubTable):
    """A hospital in the federation.

    `certificate` is the SHA-256 fingerprint of the certificate that the site uses; `next_certificate` was issued by
    a renewal and takes its place the first time that it is used, so that a lost answer locks nobody out.
    """

    __tablename__ = "sites"
    __table_args__ = (CheckConstraint("state IN ('invited', 'member', 'revoked')", name="state"),)

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    state: Mapped[str] = mapped_column(String(10))
    invited_at: Mapped[datetime] = mapped_column(UtcTime)
    joined_at: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked_reason: Mapped[str | None] = mapped_column(String(400))
    ledger_verifier: Mapped[str | None] = mapped_column(String(400))
    version: Mapped[str | None] = mapped_column(String(40))
    certificate: Mapped[str | None] = mapped_column(String(64))
    certificate_until: Mapped[datetime | None] = mapped_column(UtcTime)
    next_certificate: Mapped[str | None] = mapped_column(String(64))
    next_certificate_until: Mapped[datetime | None] = mapped_column(UtcTime)
    heard_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Invite(HubTable):
    """A one-time token, of which the hub keeps the SHA-256 of its secret alone."""

    __tablename__ = "invites"

    secret_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    site: Mapped[str] = mapped_column(ForeignKey("sites.name"))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    voided_at: Mapped[datetime | None] = mapped_column(UtcTime)


class IssuedCertificate(HubTable):
    """Every certificate that the root signed for a site, for as long as the federation lasts."""

    __tablename__ = "issued_certificates"

    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    site: Mapped[str] = mapped_column(ForeignKey("sites.name"), index=True)
    serial: Mapped[str] = mapped_column(Text)
    issued_at: Mapped[datetime] = mapped_column(UtcTime)
    until: Mapped[datetime] = mapped_column(UtcTime)
