"""What the federation's certificates say, and what is refused a signature."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wardround.foundation.certificates import (
    CertificateRefused,
    Root,
    check_issued,
    due_for_renewal,
    make_key,
    make_request,
    read_key,
    requested_key,
)
from wardround.foundation.clock import now

DAY = timedelta(hours=24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def root(folder: Path) -> Root:
    return Root.make("testing", folder / "root.crt", folder / "root.key", now())


@pytest.fixture(scope="module")
def key(folder: Path) -> rsa.RSAPrivateKey:
    return make_key(folder / "node.key")


def _usage(certificate: x509.Certificate) -> x509.KeyUsage:
    return certificate.extensions.get_extension_for_class(x509.KeyUsage).value


def test_the_root_may_sign_certificates_and_nothing_below_it_may(root: Root, key: rsa.RSAPrivateKey) -> None:
    """The engine refuses a root without keyCertSign (RFC 5280, 4.2.1.3)."""
    own = root.certificate.extensions
    assert own.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(ca=True, path_length=0)
    assert own.get_extension_for_class(x509.BasicConstraints).critical
    assert _usage(root.certificate).key_cert_sign
    own.get_extension_for_class(x509.SubjectKeyIdentifier)
    leaf = root.issue_site(make_request(key, "north"), "north", now(), DAY)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not _usage(leaf).key_cert_sign


def test_a_site_is_a_client_of_that_name_alone(root: Root, key: rsa.RSAPrivateKey) -> None:
    leaf = root.issue_site(make_request(key, "grander"), "north", now(), DAY)
    assert [part.value for part in leaf.subject] == ["north"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert isinstance(leaf.signature_hash_algorithm, hashes.SHA256)
    check_issued(leaf, root=root.certificate, key=key, name="north")


def test_the_console_has_the_engines_role_and_only_it(root: Root, key: rsa.RSAPrivateKey) -> None:
    admin = root.issue_engine_admin(key.public_key(), "wardround-admin", now(), DAY)
    (role,) = admin.subject.get_attributes_for_oid(NameOID.UNSTRUCTURED_NAME)
    assert role.value == "project_admin"
    server = root.issue_server(key.public_key(), "hub", ["localhost", "127.0.0.1", "hub.example"], now(), DAY)
    assert server.subject.get_attributes_for_oid(NameOID.UNSTRUCTURED_NAME) == []
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "hub.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_leaf_is_backdated_a_little_and_due_at_half_its_life(root: Root, key: rsa.RSAPrivateKey) -> None:
    moment = now()
    leaf = root.issue_site(make_request(key, "north"), "north", moment, DAY)
    assert timedelta(minutes=4) < moment - leaf.not_valid_before_utc < timedelta(minutes=6)
    assert not due_for_renewal(leaf, moment + timedelta(hours=11))
    assert due_for_renewal(leaf, moment + timedelta(hours=13))


def test_a_certificate_for_others_isnt_kept(root: Root, key: rsa.RSAPrivateKey, folder: Path, tmp_path: Path) -> None:
    leaf = root.issue_site(make_request(key, "north"), "north", now(), DAY)
    other_key = read_key(folder / "root.key")
    impostor = Root.make("testing", tmp_path / "root.crt", tmp_path / "root.key", now())
    with pytest.raises(CertificateRefused, match="another site"):
        check_issued(leaf, root=root.certificate, key=key, name="south")
    with pytest.raises(CertificateRefused, match="another key"):
        check_issued(leaf, root=root.certificate, key=other_key, name="north")
    with pytest.raises(CertificateRefused, match="isn't signed by the federation's root"):
        check_issued(leaf, root=impostor.certificate, key=key, name="north")


def _signed(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "north")])
    algorithm = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, algorithm)
    return request.public_bytes(serialization.Encoding.DER)


def _pem(der: bytes) -> str:
    from base64 import encodebytes

    body = encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


REQUESTS: dict[str, Callable[[rsa.RSAPrivateKey], str]] = {
    "short key": lambda _key: _pem(_signed(rsa.generate_private_key(public_exponent=65537, key_size=2048))),
    "not RSA": lambda _key: _pem(_signed(ed25519.Ed25519PrivateKey.generate())),
    "broken signature": lambda key: _pem(_signed(key)[:-1] + bytes([_signed(key)[-1] ^ 1])),
    "no request": lambda _key: "hello",
    "damaged": lambda key: _pem(_signed(key)[:-40]),
}


@pytest.mark.parametrize("made", REQUESTS.values(), ids=REQUESTS.keys())
def test_such_a_request_gets_no_certificate(made: Callable[[rsa.RSAPrivateKey], str], key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(CertificateRefused):
        requested_key(made(key))


def test_private_keys_are_their_owners_alone(folder: Path, key: rsa.RSAPrivateKey) -> None:
    assert key.key_size == 3072
    for file in ("root.key", "node.key"):
        assert (folder / file).stat().st_mode & 0o777 == 0o600
