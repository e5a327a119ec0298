"""Pseudonyms that one site's secret makes: for patients, for UIDs and for dates.

Everything is HMAC-SHA-256 (RFC 2104, FIPS 198-1) under a key of its own, derived from the secret, so that the same
input gives the same output at this site, another site's output can't be linked to it, and nobody without the secret
can test a guess. Each project is served pseudonyms of its own, made from the site's in the same way.
"""

from __future__ import annotations

import base64
import hmac
from functools import cached_property, lru_cache

from wardround.dicom.dictionary import UIDS

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

    def for_project(self, project: str) -> ProjectPseudonyms:
        """What ``project`` is served instead of this site's pseudonyms. Two projects' can't be linked to each other,
        nor to the site's own, without the secret.

        Raises:
            ValueError: ``project`` is empty.
        """
        if not project:
            raise ValueError("a project's pseudonyms need its name")
        purpose = f"project {len(project.encode())}:{project}"
        return ProjectPseudonyms(self._derive(f"{purpose} patient"), self._derive(f"{purpose} uid"))

    def key(self, purpose: str) -> bytes:
        """32 secret bytes of this site for another purpose, unlike those for any other and for any pseudonym."""
        return self._derive(f"key {len(purpose.encode())}:{purpose}")

    def _uid(self, original: str) -> str:
        return _keyed_uid(self._uid_key, original)

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


class ProjectPseudonyms:
    """Keyed, stateless mapping from what a site's enclave holds to what one project sees of it.

    Made by :meth:`PseudonymKeys.for_project`. An instance may be shared by threads.
    """

    def __init__(self, patient_key: bytes, uid_key: bytes) -> None:
        self._patient_key = patient_key
        self._uid_key = uid_key
        self.uid = lru_cache(maxsize=65536)(self._uid)

    def patient(self, pseudonym: str) -> str:
        """``WP-`` and 16 base32 characters (80 bits) for the site's ``pseudonym`` of a patient."""
        digest = hmac.digest(self._patient_key, pseudonym.strip(" \0").encode(), _DIGEST)
        return "WP-" + base64.b32encode(digest[:10]).decode("ascii")

    def _uid(self, uid: str) -> str:
        """A UID for ``uid``, an enclave's; one that DICOM itself defines (PS3.6 annex A) stays as it is."""
        return uid if uid.strip(" \0") in UIDS else _keyed_uid(self._uid_key, uid)


def _keyed_uid(key: bytes, original: str) -> str:
    """A UUID-derived UID (``2.25.<integer>``, PS3.5 B.2; the UUID is of version 8, RFC 9562 5.8)."""
    number = int.from_bytes(hmac.digest(key, original.strip(" \0").encode(), _DIGEST)[:16], "big")
    number = number & ~(0xF << 76) | (0x8 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return f"2.25.{number}"


def _patient(patient_id: str, issuer: str) -> bytes:
    first, second = patient_id.strip(" \0").encode(), issuer.strip(" \0").encode()
    return len(first).to_bytes(4, "big") + first + second
