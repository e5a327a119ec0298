"""Recovery codes, for whoever lost the telephone: look-up secrets of NIST SP 800-63B section 3.1.2, good once."""

from __future__ import annotations

import secrets

HOW_MANY = 8
_GROUPS, _LENGTH = 5, 5
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""32 of them, without those that look alike (I and 1, O and 0): 25 make 125 bits, so that a plain hash is enough."""


def new_codes() -> tuple[str, ...]:
    """Fresh codes, as they are written down: five groups of five."""
    return tuple(
        "-".join("".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)) for _ in range(_GROUPS))
        for _ in range(HOW_MANY)
    )


def plain(code: str) -> str:
    """A code as it is hashed, however it was typed; empty if it can't be one."""
    text = "".join(code.upper().replace("-", "").split())
    return text if len(text) == _GROUPS * _LENGTH and set(text) <= set(_LETTERS) else ""
