"""Shamir's secret sharing: any t shares give the secret, fewer say nothing of it.

Shamir: How to Share a Secret, Communications of the ACM 22 (1979). The field is that of the integers modulo
`PRIME` = 2^256 + 297, the least prime that every secret of 32 bytes is below.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from wardround.learning.masking.refusal import MaskingRefused

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33


def split(secret: bytes, *, needed: int, places: int) -> tuple[bytes, ...]:
    """Shares of a secret of 32 bytes for the places 1 to `places`; any `needed` of them open it again.

    Raises:
        ValueError: the secret isn't of 32 bytes, or `needed` isn't from 1 to `places`.
    """
    if len(secret) != SECRET_BYTES or not 1 <= needed <= places:
        raise ValueError("a secret of 32 bytes, and no more shares needed than there are")
    polynomial = [int.from_bytes(secret, "big"), *(secrets.randbelow(PRIME) for _ in range(needed - 1))]
    return tuple(_value(polynomial, place).to_bytes(SHARE_BYTES, "big") for place in range(1, places + 1))


def _value(polynomial: list[int], x: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * x + coefficient) % PRIME
    return value


def join(shares: Mapping[int, bytes], *, needed: int) -> bytes:
    """The secret from at least `needed` shares, by their places. The first `needed` places are taken.

    Raises:
        MaskingRefused: `shares-missing`, there are fewer; `shares-differ`, they aren't of one secret of 32 bytes.
    """
    if len(shares) < needed or needed < 1:
        raise MaskingRefused("shares-missing", f"{len(shares)} of the {needed} shares that open a secret are here")
    points = {place: int.from_bytes(shares[place], "big") for place in sorted(shares)[:needed]}
    if min(points) < 1 or any(value >= PRIME for value in points.values()):
        raise MaskingRefused("shares-differ")
    secret = 0
    for place, value in points.items():
        above, below = 1, 1
        for other in points:
            if other != place:
                above = above * other % PRIME
                below = below * (other - place) % PRIME
        secret = (secret + value * above * pow(below, -1, PRIME)) % PRIME
    if secret >= 1 << 8 * SECRET_BYTES:
        raise MaskingRefused("shares-differ")
    return secret.to_bytes(SECRET_BYTES, "big")
