"""The numbers of persons and records: keyed digests, so that a load again gives the same ones and nobody can guess."""

from __future__ import annotations

import hmac

NUMBER_BITS = 63
"""A number of a person or a record has this many bits, so that it fits a signed BIGINT."""


class RecordKeys:
    """Keyed numbers of 63 bits (HMAC-SHA-256, RFC 2104).

    Args:
        secret: the site's secret, at least 16 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret of the records needs at least 16 bytes")
        self._person, self._word, self._record = (
            hmac.digest(secret, f"wardround records {purpose} v1".encode(), "sha256")
            for purpose in ("person", "word", "record")
        )

    def person(self, pseudonym: str) -> int:
        """`person_id` of whom the enclave calls `pseudonym`."""
        return _number(self._person, pseudonym.encode())

    def word(self, pseudonym: str) -> int:
        """The person's secret number: what the noise of a count is keyed to."""
        return _number(self._word, pseudonym.encode())

    def record(self, source: str, table: str, key: str) -> int:
        """The number of a record of `table` that `source` calls `key`."""
        return _number(self._record, "\0".join((source, table, key)).encode())


def _number(key: bytes, message: bytes) -> int:
    return int.from_bytes(hmac.digest(key, message, "sha256")[:8], "big") & ((1 << NUMBER_BITS) - 1)
