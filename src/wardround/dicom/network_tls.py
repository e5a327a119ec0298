"""DICOM over TLS: the BCP 195 Secure Transport Connection Profile (PS3.15 B.12; RFC 9325, RFC 8996)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wardround.dicom.errors import DicomError
from wardround.foundation.renewed import RenewedContext, no_password

# What RFC 9325 section 4.2 recommends for TLS 1.2; those of TLS 1.3 are all fit (RFC 8446 B.4).
CIPHERS = ":".join(
    f"ECDHE-{signature}-AES{bits}" for bits in ("128-GCM-SHA256", "256-GCM-SHA384") for signature in ("ECDSA", "RSA")
)


class TlsRefused(DicomError):
    """Certificates or a key that TLS can't be set up with. ``text`` says what to check; it names no path."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """A certificate of our own, and whom we trust. Files that are replaced count for connections from then on.

    Attributes:
        certificate: PEM file with our certificate, and those between it and its root.
        key: PEM file with its private key, without a password.
        trusted: PEM file with the certificates that a peer's has to be signed by.
        required: whether a peer that calls has to show a certificate. Without it, anyone may send.
    """

    certificate: Path
    key: Path
    trusted: Path
    required: bool = True

    def server(self) -> ssl.SSLContext:
        """For connections that we accept.

        Raises:
            TlsRefused: one of the files can't be read, or the key isn't the certificate's.
        """

        def made() -> ssl.SSLContext:
            context = self._context(ssl.PROTOCOL_TLS_SERVER)
            context.verify_mode = ssl.CERT_REQUIRED if self.required else ssl.CERT_NONE
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
            # An association outlives a session; without tickets, a certificate is looked at each time.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
            return context

        return self._renewed(made)

    def client(self, *, host_named: bool = True) -> ssl.SSLContext:
        """For connections that we open. ``host_named``: whether the peer's certificate has to name its host.

        Raises:
            TlsRefused: one of the files can't be read, or the key isn't the certificate's.
        """

        def made() -> ssl.SSLContext:
            context = self._context(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = host_named
            return context

        return self._renewed(made)

    def _renewed(self, made: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        try:
            return RenewedContext(made, (self.certificate, self.key, self.trusted))
        except (OSError, ValueError) as error:
            raise TlsRefused(
                "the TLS certificate, its key or the trusted certificates can't be used; check that the three are PEM "
                "files, readable, and that the key is the certificate's and has no password"
            ) from error

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.load_cert_chain(self.certificate, self.key, password=no_password)
        context.load_verify_locations(self.trusted)
        return context
