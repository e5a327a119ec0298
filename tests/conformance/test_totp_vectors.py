"""Time-based codes against RFC 6238 appendix B, and a code is taken once."""

from __future__ import annotations

from base64 import b32encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.people.totp import STEP_SECONDS, code_of, new_secret, step_at, step_of, uri

SECRET = b32encode(b"12345678901234567890").decode()
VECTORS = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]
"""Seconds since 1970 and the code of 8 digits with SHA-1; one of 6 digits is its end (RFC 4226 section 5.3)."""


@pytest.mark.parametrize(("seconds", "code"), VECTORS)
def test_codes_of_rfc_6238(seconds: int, code: str) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert code_of(SECRET, step_at(moment)) == code[-6:]
    assert step_of(SECRET, code[-6:], moment, after=0) == seconds // STEP_SECONDS


@given(seconds=st.integers(min_value=10**9, max_value=2 * 10**9), drift=st.integers(min_value=-3, max_value=3))
def test_a_clock_may_be_one_step_off_and_each_step_counts_once(seconds: int, drift: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    step = step_at(moment) + drift
    code = code_of(SECRET, step)
    if code in {code_of(SECRET, step_at(moment) + other) for other in (-1, 0, 1) if other != drift}:
        return  # two steps happen to have one code
    found = step_of(SECRET, code, moment, after=0)
    assert found == (step if abs(drift) <= 1 else None)
    if found is not None:
        assert step_of(SECRET, code, moment, after=found) is None
        assert step_of(SECRET, code, moment + timedelta(seconds=STEP_SECONDS), after=found) is None


def test_what_isnt_a_code_is_none() -> None:
    moment = datetime.fromtimestamp(59, UTC)
    for text in ("", "28708", "94287082", "二八七〇八二", "287082 " * 3, "287\x00082"):
        assert step_of(SECRET, text, moment, after=0) is None
    assert step_of(SECRET, " 287 082", moment, after=0) == 1


def test_secrets_have_160_bits_and_the_link_names_whose_they_are() -> None:
    secret = new_secret()
    assert len(secret) == 32 and secret != new_secret()
    link = uri(secret, "anna", "Wardround node north")
    assert link.startswith("otpauth://totp/Wardround%20node%20north:anna?") and f"secret={secret}" in link
