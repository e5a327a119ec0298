"""Ed25519 signing keys on disk, made where they are used."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.foundation.files import write_whole


class KeyUnreadable(RuntimeError):
    """A key file is absent, damaged, or of another kind."""


def make_signing_key(path: Path) -> Ed25519PrivateKey:
    """A new Ed25519 key (RFC 8032), written to `path` as PKCS #8 PEM that its owner alone can read."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_whole(path, pem, mode=0o600)
    return key


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in `path`.

    Raises:
        KeyUnreadable: there is none, or it is something else.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise KeyUnreadable(f"the signing key {path.name} can't be read: {type(error).__name__}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnreadable(f"the signing key {path.name} isn't an Ed25519 key")
    return key
