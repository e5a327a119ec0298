"""Bytes sealed under a key of this machine: AES-256-GCM (NIST SP 800-38D), a random 96-bit nonce in front.

What is sealed is bound to a name as associated data, so that a row or a file moved to another place doesn't open.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wardround.foundation.files import write_whole

KEY_BYTES = 32
NONCE_BYTES = 12


class NotOpened(ValueError):
    """It was sealed under another key or for another name, or was changed."""


class NoKey(ValueError):
    """A key file that doesn't hold a key, but `length` bytes."""

    def __init__(self, length: int) -> None:
        super().__init__(f"{length} bytes, not {KEY_BYTES}")
        self.length = length


def key_at(path: Path) -> bytes:
    """The key in a file that its owner alone reads; made on first use.

    Raises:
        NoKey: the file holds something else.
    """
    if not path.exists():
        write_whole(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise NoKey(len(key))
    return key


class Sealer:
    """Seals and opens under one key; may be shared by threads."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, bound: bytes) -> bytes:
        """The nonce, then `data` sealed for the name `bound`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """What was sealed for the name `bound`.

        Raises:
            NotOpened: it can't be opened.
        """
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            raise NotOpened("it was sealed under another key or for another name, or was changed") from None
