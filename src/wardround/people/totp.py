"""Codes from a telephone: TOTP (RFC 6238) with SHA-1, 6 digits and steps of 30 seconds, which every app knows."""

from __future__ import annotations

import hmac
from datetime import datetime

import pyotp

STEP_SECONDS = 30
DRIFT = 1
"""How many steps a telephone's clock may be ahead or behind."""

DIGITS = 6


def new_secret() -> str:
    """160 random bits in base32 (RFC 4226 section 4 recommends as many)."""
    return pyotp.random_base32(32)


def uri(secret: str, name: str, issuer: str) -> str:
    """The `otpauth://` address that an app reads from a square code or as a link."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def step_at(moment: datetime) -> int:
    """The number of the time step (RFC 6238 section 4.2) of `moment`."""
    return int(moment.timestamp()) // STEP_SECONDS


def code_of(secret: str, step: int) -> str:
    """The code of one time step."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS).generate_otp(step)


def step_of(secret: str, code: str, moment: datetime, *, after: int) -> int | None:
    """The time step whose code `code` is, at most one away from `moment` and later than `after`; else None.

    Whoever calls keeps the step and gives it as `after` the next time: a code is good once (RFC 6238 section 5.2).
    """
    given, now = code.strip().replace(" ", "").encode(), step_at(moment)
    found = None
    for step in range(now - DRIFT, now + DRIFT + 1):
        # Every step is compared, so that the time taken tells nothing of which one it was.
        if hmac.compare_digest(code_of(secret, step).encode(), given) and step > after:
            found = step
    return found
