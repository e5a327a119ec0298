"""Which site is calling, and may it? Asked of the database on every call, so that a revocation holds at once."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from wardround.foundation.certificates import CertificateRefused, common_name, fingerprint
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed
from wardround.hub.sites.tables import Site

HEARD_EVERY = timedelta(seconds=3)
"""How much newer `heard_at` must be to be worth a write."""


class Admission:
    """Tells a caller's site from the certificate that its TLS connection proved."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def admit(self, certificate: bytes, now: datetime) -> str:
        """The name of the site whose certificate (DER) this is.

        The TLS stack has checked that the root signed it and that it was valid when the connection was made, which
        may be long ago.

        Raises:
            NotAllowed: the site isn't a member, was revoked, or uses a certificate that was replaced or expired.
        """
        try:
            parsed = x509.load_der_x509_certificate(certificate)
            name = common_name(parsed)
        except (ValueError, CertificateRefused):
            raise NotAllowed("the certificate names no site", code="not-a-site") from None
        print_ = fingerprint(parsed)
        if now >= parsed.not_valid_after_utc:
            raise NotAllowed("this certificate has expired; ask the operator for a token", code="certificate-expired")
        with self._database.reading() as session:
            site = session.get(Site, name)
            self._check(site, print_)
            fresh = site is not None and site.heard_at is not None and now - site.heard_at < HEARD_EVERY
            renewed = site is not None and site.next_certificate == print_
        if renewed or not fresh:
            with self._database.writing() as session:
                site = session.get(Site, name, with_for_update=True)
                self._check(site, print_)
                if site is not None:
                    site.heard_at = now
                    if site.next_certificate == print_:
                        site.certificate, site.certificate_until = print_, site.next_certificate_until
                        site.next_certificate = site.next_certificate_until = None
        return name

    @staticmethod
    def _check(site: Site | None, print_: str) -> None:
        if site is None or site.state == "invited":
            raise NotAllowed("the certificate's site isn't a member here", code="not-a-site")
        if site.state == "revoked":
            raise NotAllowed("this site was revoked; ask the federation's operator why", code="site-revoked")
        if print_ not in (site.certificate, site.next_certificate):
            raise NotAllowed("this certificate was replaced by a newer one; use that", code="certificate-replaced")
