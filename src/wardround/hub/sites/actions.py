"""What changes a site: invite, join, renew, revoke. Each names its actor and leaves its audit row."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from wardround.contracts.outbound import CertificateRenewal, JoinRequest
from wardround.foundation.certificates import CertificateRefused, Root, fingerprint, pem
from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.foundation.token import Token, digest_of, new_secret
from wardround.hub import audit
from wardround.hub.home import ADMIN_NAME, SERVER_NAME, HubHome
from wardround.hub.record.membership import Parted, part
from wardround.hub.sites.tables import Invite, IssuedCertificate, Site
from wardround.ledger.log import Log
from wardround.ledger.note import NoteRefused, Verifier

RESERVED = frozenset({SERVER_NAME, ADMIN_NAME, "server", "admin", "simulator"})
"""Names that the federated engine gives a meaning of its own."""


def invite(session: Session, home: HubHome, site: str, *, actor: str, now: datetime) -> Token:
    """A one-time token for `site`; an earlier one that wasn't used is void from now on.

    A member may be invited again: it then joins anew with the same ledger key, for a node that was off for longer
    than its certificate lasts.

    Raises:
        NotAllowed: the name is reserved, or the site was revoked.
    """
    if site in RESERVED:
        raise NotAllowed(f"{site!r} is a name that the engine uses itself; give the site another")
    found = session.get(Site, site, with_for_update=True)
    if found is None:
        session.add(Site(name=site, state="invited", invited_at=now))
        session.flush()
    elif found.state == "revoked":
        raise NotAllowed(f"site {site!r} was revoked and stays so; invite the hospital under a new name")
    session.execute(
        update(Invite)
        .where(Invite.site == site, Invite.used_at.is_(None), Invite.voided_at.is_(None))
        .values(voided_at=now)
    )
    secret = new_secret()
    expires = now + timedelta(hours=home.settings.invite_hours)
    session.add(Invite(secret_digest=digest_of(secret), site=site, made_at=now, expires_at=expires))
    audit.record(session, actor, "invite", site, f"until {expires:%Y-%m-%d %H:%M}Z", clock=lambda: now)
    return Token(
        site=site,
        host=home.settings.host,
        port=home.settings.enrol_port,
        root=fingerprint(home.root.certificate),
        secret=secret,
        expires=expires,
    )


def join(session: Session, home: HubHome, request: JoinRequest, *, now: datetime) -> tuple[Site, str]:
    """Make the invited site a member; gives the site and its certificate in PEM.

    Raises:
        NotAllowed: the token is unknown, used, void or expired, or the site was revoked.
        Conflict: the ledger key is another than the one with which the site joined before.
        CertificateRefused: the signing request isn't acceptable.
    """
    asked = session.get(Invite, digest_of(request.secret), with_for_update=True)
    if asked is None:
        raise NotAllowed("this token isn't known here; ask the operator for a new one", code="token-unknown")
    if asked.used_at is not None:
        raise NotAllowed("this token was used; ask the operator for a new one", code="token-used")
    if asked.voided_at is not None:
        raise NotAllowed("a newer token replaced this one; use that", code="token-replaced")
    if now >= asked.expires_at:
        raise NotAllowed(
            f"this token expired at {asked.expires_at:%Y-%m-%d %H:%M}Z; ask the operator for a new one",
            code="token-expired",
        )
    site = session.get_one(Site, asked.site, with_for_update=True)
    if site.state == "revoked":
        raise NotAllowed("this site was revoked", code="site-revoked")
    verifier = _ledger_verifier(request.ledger_verifier, site.name)
    if site.ledger_verifier not in (None, verifier):
        raise Conflict(
            "the site joined before with another ledger key; join from its old home, or under a new name",
            code="other-ledger-key",
        )
    certificate, print_, until = _issue(session, home, site.name, request.csr, now)
    site.state = "member"
    site.joined_at = site.joined_at or now
    site.ledger_verifier = verifier
    site.version = request.version
    site.certificate, site.certificate_until = print_, until
    site.next_certificate = site.next_certificate_until = None
    asked.used_at = now
    audit.record(session, f"site:{site.name}", "join", site.name, f"certificate {print_[:16]}", clock=lambda: now)
    return site, certificate


def renew(session: Session, home: HubHome, name: str, request: CertificateRenewal, *, now: datetime) -> str:
    """A new certificate for a member, in PEM; it replaces the old one when it is first used.

    Raises:
        CertificateRefused: the signing request isn't acceptable.
    """
    site = session.get_one(Site, name, with_for_update=True)
    certificate, site.next_certificate, site.next_certificate_until = _issue(session, home, name, request.csr, now)
    detail = f"certificate {site.next_certificate[:16]}"
    audit.record(session, f"site:{name}", "renew-certificate", name, detail, clock=lambda: now)
    return certificate


def revoke(
    session: Session, log: Log, name: str, reason: str, *, actor: str, now: datetime, left: bool = False
) -> Parted | None:
    """Shut a site out, from its next call on and for good; its witness counts no more from there on.

    Args:
        left: the hospital asked for it; the ledger says so.

    Returns:
        what that means for the ledger's quorum, or None if the site had never joined.

    Raises:
        NotFound: there is no such site.
        Conflict: it was revoked before.
    """
    site = session.get(Site, name, with_for_update=True)
    if site is None:
        known = ", ".join(session.scalars(select(Site.name).order_by(Site.name))) or "none"
        raise NotFound(f"no site {name!r} in this federation; there are: {known}")
    if site.state == "revoked":
        raise Conflict(f"site {name!r} was revoked before, at {site.revoked_at:%Y-%m-%d %H:%M}Z")
    site.state, site.revoked_at, site.revoked_reason = "revoked", now, reason
    session.execute(update(Invite).where(Invite.site == name, Invite.used_at.is_(None)).values(voided_at=now))
    audit.record(session, actor, "revoke", name, reason, clock=lambda: now)
    return part(session, log, name, reason="left" if left else "revoked", at=now)


def _issue(session: Session, home: HubHome, site: str, request: str, now: datetime) -> tuple[str, str, datetime]:
    root: Root = home.root
    certificate = root.issue_site(request, site, now, timedelta(hours=home.settings.certificate_hours))
    print_, until = fingerprint(certificate), certificate.not_valid_after_utc
    serial = f"{certificate.serial_number:x}"
    session.add(IssuedCertificate(fingerprint=print_, site=site, serial=serial, issued_at=now, until=until))
    return pem(certificate), print_, until


def _ledger_verifier(vkey: str, site: str) -> str:
    try:
        verifier = Verifier.parse(vkey)
    except NoteRefused as error:
        raise CertificateRefused("the ledger verifier key can't be read", code="bad-ledger-key") from error
    if verifier.name != site:
        raise CertificateRefused("the ledger verifier key is named for another site", code="bad-ledger-key")
    return vkey
