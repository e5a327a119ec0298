"""Keeps what was asked for sealed in the node's database.

A pull names patients. Each ask is sealed by AES-256-GCM (NIST SP 800-38D) under a key of its own in the node's
identity, with a random 96-bit nonce; the job and the line are associated data, so that a row moved to another doesn't
open.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wardround.foundation.errors import WardroundError
from wardround.foundation.files import write_whole
from wardround.node.retrieve.asks import Ask

KEY_BYTES = 32
_NONCE = 12


class SealBroken(WardroundError):
    """What was asked can't be read: another key, or a row that was changed."""

    code = "seal-broken"


class Sealing:
    """Seals and opens asks. The key is made on first use, readable by its owner alone.

    Raises:
        SealBroken: the key file isn't a key.
    """

    def __init__(self, key_path: Path) -> None:
        if not key_path.exists():
            write_whole(key_path, secrets.token_bytes(KEY_BYTES), mode=0o600)
        key = key_path.read_bytes()
        if len(key) != KEY_BYTES:
            raise SealBroken(f"the key of pulls has {len(key)} bytes, not {KEY_BYTES}; put the node's own key back")
        self._cipher = AESGCM(key)

    def seal(self, ask: Ask, job: int, line: int) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, ask.to_json(), _bound(job, line))

    def open(self, sealed: bytes, job: int, line: int) -> Ask:
        """The ask of a row.

        Raises:
            SealBroken: it was sealed under another key, for another row, or forgotten.
        """
        try:
            return Ask.from_json(self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(job, line)))
        except (InvalidTag, ValueError):
            raise SealBroken("what was asked can't be read any more; ask for it again in a new pull") from None


def _bound(job: int, line: int) -> bytes:
    return f"wardround pull v1 {job} {line}".encode()
