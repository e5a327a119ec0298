"""What the hub knows of its sites, and which of them is calling."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.hub.sites.tables import Site


@dataclass(frozen=True)
class SiteLine:
    """A site as `wardround hub sites` shows it."""

    name: str
    state: str
    certificate_until: datetime | None
    heard_at: datetime | None
    version: str | None
    reason: str | None


def sites(session: Session) -> list[SiteLine]:
    """All sites by name, the revoked ones included."""
    return [
        SiteLine(site.name, site.state, site.certificate_until, site.heard_at, site.version, site.revoked_reason)
        for site in session.scalars(select(Site).order_by(Site.name))
    ]


def members(session: Session) -> list[str]:
    """Names of the sites that may take part now."""
    return list(session.scalars(select(Site.name).where(Site.state == "member").order_by(Site.name)))


def ledger_verifiers(session: Session) -> dict[str, str]:
    """The ledger verifier key (vkey) of every site that ever joined; a revoked site's entries still verify."""
    rows = session.execute(select(Site.name, Site.ledger_verifier).where(Site.ledger_verifier.is_not(None)))
    return {name: vkey for name, vkey in rows if vkey is not None}
