"""Identifiers of patients in the one form in which they are compared.

A list of opt-outs and a scanner write the same number differently: with spaces, without leading zeros, in lower case.
What is compared is the canonical form, under a keyed digest (HMAC-SHA-256, RFC 2104) that nobody can test a guess
against without the site's secret.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

_IGNORED = str.maketrans("", "", " \t\0-\u00a0")
_WEIGHTS = range(10, 1, -1)


class Kind(StrEnum):
    """What an opt-out names."""

    NHS = "nhs"
    LOCAL = "local"
    SHA256 = "sha256"
    HMAC = "hmac-sha256"


HASHED = frozenset({Kind.SHA256, Kind.HMAC})


@dataclass(frozen=True, slots=True)
class PatientIds:
    """Every identifier that an object gives for its patient, each with its issuer (empty where none is named)."""

    ids: tuple[tuple[str, str], ...] = field(repr=False)


def nhs_number(text: str) -> str | None:
    """The ten digits of a valid NHS number, or None.

    Spaces and hyphens are ignored. The tenth digit checks the others modulo 11 (NHS Data Dictionary, NHS NUMBER).
    """
    digits = text.translate(_IGNORED)
    if len(digits) != 10 or not (digits.isascii() and digits.isdigit()):
        return None
    check = 11 - sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=False)) % 11
    return digits if check % 11 == int(digits[9]) else None


def canonical(text: str) -> str:
    """A local id without spaces, hyphens and leading zeros, in capitals; `0` for nothing but zeros."""
    plain = text.translate(_IGNORED).upper()
    return plain.lstrip("0") or plain[:1]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the entries of somebody's hashed list were made: `kind` is `Kind.SHA256` or `Kind.HMAC`; `secret` is the
    salt, put before the identifier, or the key."""

    kind: Kind
    secret: bytes = field(repr=False)

    def digest(self, identifier: str) -> str:
        """The entry for an identifier in its canonical form, as lower-case hexadecimal."""
        if self.kind is Kind.HMAC:
            return hmac.digest(self.secret, identifier.encode(), "sha256").hex()
        return sha256(self.secret + identifier.encode()).hexdigest()


class OptOutKeys:
    """Turns identifiers into the keys that are kept.

    Args:
        secret: the site's secret, at least 16 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret of the opt-outs needs at least 16 bytes")
        self._secret = hmac.digest(secret, b"wardround opt-out v1", "sha256")

    def nhs(self, digits: str) -> str:
        return self._key(Kind.NHS, digits)

    def local(self, text: str, issuer: str = "") -> str:
        """The key of a local id; without an issuer it stands for the id of whatever issuer."""
        return self._key(Kind.LOCAL, canonical(text), issuer.strip(" \0").upper())

    def hashed(self, scheme: Scheme, digest: str) -> str:
        return self._key(scheme.kind, self.fingerprint(scheme), digest.strip().lower())

    def fingerprint(self, scheme: Scheme) -> str:
        """Names a scheme without telling its salt."""
        return self._key("scheme", scheme.kind, scheme.secret.hex())

    def of(self, patient: PatientIds, schemes: Iterable[Scheme] = ()) -> frozenset[str]:
        """All keys under which an opt-out of this patient may have been kept."""
        keys: set[str] = set()
        texts: set[str] = set()
        for text, issuer in patient.ids:
            if not canonical(text):
                continue
            number = nhs_number(text)
            if number is not None:
                keys.add(self.nhs(number))
                texts.add(number)
            keys |= {self.local(text), self.local(text, issuer)}
            texts.add(canonical(text))
        for scheme in schemes:
            keys |= {self.hashed(scheme, scheme.digest(text)) for text in texts}
        return frozenset(keys)

    def _key(self, *parts: str) -> str:
        # Lengths first: no two different lists of parts give the same bytes.
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.digest(self._secret, message, "sha256").hex()
