"""Pseudonyms that one site's secret makes: for patients, for UIDs and for dates.

Everything is HMAC-SHA-256 (RFC 2104, FIPS 198-1) under a key of its own, derived from the secret, so that the same
input gives the same output at this site, another site's output can't be linked to it, and nobody without the secret
can test a guess.
"""

from __future__ import annotations

import base64
import hmac
from functools import cached_property, lru_cache

SHORTEST_SHIFT = 365
LONGEST_SHIFT = 3650
_DIGEST = "sha256"


class PseudonymKeys:
    """Keyed, stateless mapping from identities to pseudonyms.

    Args:
        secret: at least 16 bytes that never leave the site.

    Raises:
        ValueError: the secret is shorter than 16 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the pseudonym secret needs at least 16 bytes; create it with secrets.token_bytes(32)")
        self._secret = bytes(secret)
        self.uid = lru_cache(maxsize=65536)(self._uid)

    def patient(self, patient_id: str, issuer: str = "") -> str:
        """``WR-`` and 16 base32 characters (80 bits) for a patient. Ids of two issuers differ; padding doesn't."""
        digest = hmac.digest(self._patient_key, _patient(patient_id, issuer), _DIGEST)
        return "WR-" + base64.b32encode(digest[:10]).decode("ascii")

    def days(self, patient_id: str, issuer: str = "") -> int:
        """Days to add to each date of a patient: always negative, between one year and ten years into the past."""
        digest = hmac.digest(self._days_key, _patient(patient_id, issuer), _DIGEST)
        return -(SHORTEST_SHIFT + int.from_bytes(digest[:8], "big") % (LONGEST_SHIFT - SHORTEST_SHIFT + 1))

    def _uid(self, original: str) -> str:
        """A UUID-derived UID (``2.25.<integer>``, PS3.5 B.2; the UUID is of version 8, RFC 9562 5.8)."""
        number = int.from_bytes(hmac.digest(self._uid_key, original.strip(" \0").encode(), _DIGEST)[:16], "big")
        number = number & ~(0xF << 76) | (0x8 << 76)
        number = number & ~(0x3 << 62) | (0x2 << 62)
        return f"2.25.{number}"

    @cached_property
    def _uid_key(self) -> bytes:
        return self._derive("uid")

    @cached_property
    def _patient_key(self) -> bytes:
        return self._derive("patient")

    @cached_property
    def _days_key(self) -> bytes:
        return self._derive("days")

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self._secret, f"wardround pseudonym {purpose} v1".encode(), _DIGEST)


def _patient(patient_id: str, issuer: str) -> bytes:
    first, second = patient_id.strip(" \0").encode(), issuer.strip(" \0").encode()
    return len(first).to_bytes(4, "big") + first + second
