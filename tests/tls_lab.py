"""Certificates for tests: an authority that issues pairs of certificate and key as PEM files."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from wardround.dicom.network import TlsSettings


class Authority:
    """Issues certificates for 127.0.0.1 in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(self._name, self._key.public_key(), authority=True)
        self.root = folder / f"{name}.pem"
        self.root.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(
        self, name: str, *, trusted: Path | None = None, rsa_key: bool = False, password: str = ""
    ) -> TlsSettings:
        key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, private = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(self._sign(subject, key.public_key()).public_bytes(Encoding.PEM))
        sealed = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
        return TlsSettings(certificate, private, trusted or self.root)

    def _sign(
        self, subject: x509.Name, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, *, authority: bool = False
    ) -> x509.Certificate:
        moment = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment - timedelta(hours=1))
            .not_valid_after(moment + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]), False
            )
        )
        return builder.sign(self._key, hashes.SHA256())


@contextmanager
def in_front_of(port: int, server: TlsSettings) -> Iterator[int]:
    """TLS before a port of this machine that speaks none, as a hospital's proxy has it; a caller has to show a
    certificate. The port that it listens on."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=server.trusted)
    context.load_cert_chain(server.certificate, server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[plain], daemon=True).start()

    def serve(plain: socket.socket) -> None:
        try:
            secured = context.wrap_socket(plain, server_side=True)
            behind = socket.create_connection(("127.0.0.1", port))
        except OSError:
            plain.close()
            return
        threading.Thread(target=pump, args=[secured, behind], daemon=True).start()
        pump(behind, secured)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.close()
