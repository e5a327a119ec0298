"""Keys that two sites share and the hub doesn't: X25519 (RFC 7748), then HKDF with SHA-256 (RFC 5869).

From one secret of a pair come, by what they are for, the seed of its pairwise mask and a key for each direction in
which shares are sealed (AES-256-GCM, NIST SP 800-38D). A key seals one box, so that the nonce is always 0.
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wardround.learning.masking.refusal import MaskingRefused

_NONCE = bytes(12)


def new_key() -> bytes:
    """A new private key, 32 bytes."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(private: bytes) -> bytes:
    """The public key of a private one, 32 bytes each."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def commitment(seed: bytes) -> str:
    """What a site tells of the seed of its own mask before the hub has any share of it; the seed has 256 random bits,
    so that nothing follows from it."""
    return sha256(b"wardround/masking-seed/v1\n" + seed).hexdigest()


def mask_seed(private: bytes, public: bytes, about: bytes) -> bytes:
    """The seed of the mask that two sites share in the round that `about` (bytes of its own) stands for.

    Raises:
        MaskingRefused: `key-refused`, the public key isn't one of a pair.
    """
    return _derived(private, public, b"mask", about)


def seal(private: bytes, public: bytes, way: bytes, about: bytes, content: bytes) -> bytes:
    """Close a box that only the owner of `public` can open. `way`: who sends to whom; one box for each.

    Raises:
        MaskingRefused: as `mask_seed`.
    """
    return AESGCM(_derived(private, public, b"seal " + way, about)).encrypt(_NONCE, content, about)


def unseal(private: bytes, public: bytes, way: bytes, about: bytes, box: bytes) -> bytes:
    """Open a box.

    Raises:
        MaskingRefused: `shares-unreadable`, it wasn't closed by the owner of `public`, for this, on this way; and as
            `mask_seed`.
    """
    try:
        return AESGCM(_derived(private, public, b"seal " + way, about)).decrypt(_NONCE, box, about)
    except InvalidTag as error:
        raise MaskingRefused("shares-unreadable") from error


def _derived(private: bytes, public: bytes, use: bytes, about: bytes) -> bytes:
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        # Of small order: the secret would be 0 whatever the other's key is (RFC 7748, section 6.1).
        raise MaskingRefused("key-refused") from error
    both = b"".join(sorted((public, public_of(private))))
    info = b"\n".join((b"wardround/masking/v1", use, sha256(about).digest(), both))
    return HKDF(SHA256(), 32, salt=None, info=info).derive(shared)
