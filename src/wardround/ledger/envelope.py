"""Signing entries and checking who signed them.

The signature (Ed25519, RFC 8032) covers ``wardround/ledger-entry/v1``, a newline, the ledger's origin, a newline,
and the entry's canonical bytes. So it is never valid as a checkpoint or a cosignature, nor in another ledger.

libsodium verifies: it takes half of the time that OpenSSL takes, and refuses public keys of small order, by which
signatures hold over any message.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from wardround.contracts.ledger_entry import LARGEST_ENTRY, Entry, EntryUnreadable, SignedEntry, entry_bytes

_DOMAIN = b"wardround/ledger-entry/v1\n"
_WORTH_IT = 64
_PART = 50
_MOST_THREADS = 4


def entry_key_id(key: bytes) -> str:
    """The name of a raw public key in an envelope: 16 hexadecimal digits."""
    return sha256(key).digest()[:8].hex()


def _message(entry: bytes, ledger: str) -> bytes:
    return _DOMAIN + ledger.encode() + b"\n" + entry


def sign_entry(entry: Entry, key: Ed25519PrivateKey, ledger: str) -> bytes:
    """The bytes of a signed entry for the ledger with that origin. The same entry and key give the same bytes.

    Raises:
        EntryUnreadable: ``too-large``.
    """
    signed = SignedEntry(
        entry=entry,
        key=entry_key_id(key.public_key().public_bytes_raw()),
        signature=b64encode(key.sign(_message(entry.canonical(), ledger))).decode(),
    )
    data = signed.canonical()
    if len(data) > LARGEST_ENTRY:
        raise EntryUnreadable(f"the entry is {len(data)} bytes; {LARGEST_ENTRY} is the limit", code="too-large")
    return data


def is_signed_by(signed: SignedEntry, key: bytes, ledger: str, data: bytes | None = None) -> bool:
    """Whether the envelope's signature is by the raw public key, for the ledger with that origin.

    ``data`` are the bytes that ``signed`` was read from; given them, they needn't be made again.
    """
    if signed.key != entry_key_id(key):
        return False
    entry = signed.entry.canonical() if data is None else entry_bytes(data)
    try:
        crypto_sign_open(b64decode(signed.signature) + _message(entry, ledger), key)
    except (BadSignatureError, ValueError):
        return False
    return True


Claim = tuple[SignedEntry, bytes, bytes]
"""An envelope, the raw public key that its signature should be by, and the bytes that it was read from."""


def check_together(claims: Sequence[Claim], ledger: str) -> list[bool]:
    """For each claim whether it holds, as :func:`is_signed_by` says.

    One signature takes longer than all else that is done with an entry, and the library lets other threads run
    meanwhile: so many are checked on as many cores as there are, up to four.
    """
    if len(claims) < _WORTH_IT:
        return _check_part(ledger, claims)
    parts = [claims[start : start + _PART] for start in range(0, len(claims), _PART)]
    return [holds for part in _pool().map(partial(_check_part, ledger), parts) for holds in part]


def _check_part(ledger: str, claims: Sequence[Claim]) -> list[bool]:
    return [is_signed_by(signed, key, ledger, data) for signed, key, data in claims]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="signatures")
