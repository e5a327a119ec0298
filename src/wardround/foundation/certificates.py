"""The federation's own certificates (X.509 v3, RFC 5280): one root per hub, leaves signed by it directly.

Keys are RSA-3072 and signatures SHA-256, since the federated engine signs its log-ins with the leaf's key and knows
RSA alone. A leaf's subject is built here from a name that the hub chose; a request (PKCS #10, RFC 2986) gives its
public key and nothing else, so that no one can ask for a subject that the engine takes for a role.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wardround.foundation.errors import WardroundError
from wardround.foundation.files import write_whole

KEY_BITS = 3072
BACKDATED = timedelta(minutes=5)
"""How far a clock may be behind the hub's before a fresh certificate isn't valid yet."""
ROOT_LASTS = timedelta(days=3650)


class CertificateRefused(WardroundError):
    """A certificate, request or key that isn't what it should be."""

    code = "certificate-refused"


def make_key(path: Path) -> rsa.RSAPrivateKey:
    """A new RSA-3072 key, written to `path` as PKCS #8 PEM that its owner alone can read."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_whole(path, pem, mode=0o600)
    return key


def read_key(path: Path) -> rsa.RSAPrivateKey:
    """The RSA key in `path`.

    Raises:
        CertificateRefused: there is none, or it is something else.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise CertificateRefused(f"the key {path.name} can't be read: {type(error).__name__}") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CertificateRefused(f"the key {path.name} isn't an RSA key")
    return key


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def read_certificate(text: str | bytes) -> x509.Certificate:
    """One certificate in PEM.

    Raises:
        CertificateRefused: it isn't one.
    """
    try:
        return x509.load_pem_x509_certificate(text.encode() if isinstance(text, str) else text)
    except ValueError as error:
        raise CertificateRefused("this isn't a certificate in PEM") from error


def certificate_in(path: Path) -> x509.Certificate:
    """The certificate in the file `path`, in PEM.

    Raises:
        CertificateRefused: there is none, or it is something else.
    """
    try:
        return read_certificate(path.read_bytes())
    except OSError as error:
        raise CertificateRefused(f"the certificate {path.name} can't be read: {type(error).__name__}") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 over the certificate's DER, in lower-case hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def common_name(certificate: x509.Certificate) -> str:
    """The one common name of the subject.

    Raises:
        CertificateRefused: there is none, or more than one.
    """
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise CertificateRefused("the certificate's subject needs exactly one common name")
    return str(names[0].value)


def make_request(key: rsa.RSAPrivateKey, name: str) -> str:
    """A certificate signing request in PEM. Its subject is a courtesy: whoever signs builds its own."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def requested_key(request: str) -> rsa.RSAPublicKey:
    """The public key of a signing request, once its own signature holds (proof of possession).

    Raises:
        CertificateRefused: it isn't a request, isn't signed by its key, or its key isn't RSA of 3072 bits or more.
    """
    try:
        parsed = x509.load_pem_x509_csr(request.encode())
        key = parsed.public_key()
        signed = parsed.is_signature_valid
    except (ValueError, InvalidSignature) as error:
        raise CertificateRefused("this isn't a certificate signing request in PEM") from error
    if not signed:
        raise CertificateRefused("the signing request isn't signed by the key that it names")
    if not isinstance(key, rsa.RSAPublicKey) or not KEY_BITS <= key.key_size <= 8192:
        raise CertificateRefused(f"the signing request's key must be RSA of {KEY_BITS} to 8192 bits")
    return key


def check_issued(certificate: x509.Certificate, *, root: x509.Certificate, key: rsa.RSAPrivateKey, name: str) -> None:
    """Check what a hub sent back before it is kept.

    Raises:
        CertificateRefused: not signed by `root`, for another key, or for another name.
    """
    try:
        certificate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise CertificateRefused("the certificate isn't signed by the federation's root") from error
    issued_to = certificate.public_key()
    if not isinstance(issued_to, rsa.RSAPublicKey) or issued_to.public_numbers() != key.public_key().public_numbers():
        raise CertificateRefused("the certificate is for another key than this node's")
    if common_name(certificate) != name:
        raise CertificateRefused("the certificate is for another site than this node")


class Root:
    """The hub's root: the one trust anchor of its federation."""

    def __init__(self, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def make(cls, federation: str, certificate: Path, key: Path, now: datetime) -> Root:
        """A new root, its key and certificate written to the paths given."""
        secret = make_key(key)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{federation} federation root")])
        public = secret.public_key()
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + ROOT_LASTS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(secret, hashes.SHA256())
        )
        write_whole(certificate, pem(made).encode(), mode=0o644)
        return cls(made, secret)

    @classmethod
    def open(cls, certificate: Path, key: Path) -> Root:
        """The root kept in the paths given.

        Raises:
            CertificateRefused: one of them can't be read.
        """
        try:
            return cls(read_certificate(certificate.read_bytes()), read_key(key))
        except OSError as error:
            raise CertificateRefused(f"the root certificate can't be read: {type(error).__name__}") from error

    def issue_site(self, request: str, site: str, now: datetime, lasts: timedelta) -> x509.Certificate:
        """A node's certificate for mutual TLS: common name `site`, client authentication only.

        Raises:
            CertificateRefused: the request isn't acceptable (`requested_key`).
        """
        names = [x509.NameAttribute(NameOID.COMMON_NAME, site)]
        return self._issue(requested_key(request), names, now, lasts, [ExtendedKeyUsageOID.CLIENT_AUTH], [])

    def issue_server(
        self, key: rsa.RSAPublicKey, name: str, hosts: Sequence[str], now: datetime, lasts: timedelta
    ) -> x509.Certificate:
        """The hub's own certificate, for its listeners and the engine's server (which also dials itself)."""
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        names = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        return self._issue(key, names, now, lasts, purposes, hosts)

    def issue_engine_admin(self, key: rsa.RSAPublicKey, name: str, now: datetime, lasts: timedelta) -> x509.Certificate:
        """The hub's console for the engine, which reads a role from the subject's unstructuredName."""
        names = [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "wardround"),
            x509.NameAttribute(NameOID.UNSTRUCTURED_NAME, "project_admin"),
        ]
        return self._issue(key, names, now, lasts, [ExtendedKeyUsageOID.CLIENT_AUTH], [])

    def _issue(
        self,
        key: rsa.RSAPublicKey,
        names: Sequence[x509.NameAttribute[str]],
        now: datetime,
        lasts: timedelta,
        purposes: Sequence[x509.ObjectIdentifier],
        hosts: Sequence[str],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(names))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + lasts, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature", "key_encipherment"), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)]),
                critical=False,
            )
        return builder.sign(self._key, hashes.SHA256())


def due_for_renewal(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether half of its life since it was issued is over."""
    starts, ends = certificate.not_valid_before_utc + BACKDATED, certificate.not_valid_after_utc
    return now >= starts + (ends - starts) / 2


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*granted: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in granted for name in every})
