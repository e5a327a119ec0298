"""Identifiers as they are compared: whatever a list and a scanner write, the same patient is the same."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.node.optout.identifier import Kind, OptOutKeys, PatientIds, Scheme, canonical, nhs_number
from wardround.node.optout.listing import ListRefused, read_list

KEYS = OptOutKeys(bytes(range(32)))
nine_digits = st.text("0123456789", min_size=9, max_size=9)


def with_check_digit(digits: str) -> str | None:
    """By the NHS Data Dictionary's own words: weigh 10 to 2, take modulo 11 from 11; 11 is 0, 10 isn't used."""
    check = (
        11 - sum(int(digit) * weight for digit, weight in zip(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2), strict=True)) % 11
    )
    return None if check == 10 else digits + str(0 if check == 11 else check)


@given(nine_digits, st.integers(1, 9), st.integers(0, 9))
def test_one_wrong_digit_is_no_nhs_number(digits: str, off: int, place: int) -> None:
    number = with_check_digit(digits)
    if number is None:
        assert all(nhs_number(digits + str(last)) is None for last in range(10))
        return
    assert nhs_number(f"{number[:3]} {number[3:6]}-{number[6:]}\0") == number
    wrong = number[:place] + str((int(number[place]) + off) % 10) + number[place + 1 :]
    assert nhs_number(wrong) is None


@pytest.mark.parametrize("text", ["", "943476591", "94347659190", "943476591x", "\uff19434765919"])
def test_what_is_not_ten_digits_is_no_nhs_number(text: str) -> None:
    assert nhs_number("9434765919") == "9434765919"
    assert nhs_number(text) is None


@pytest.mark.parametrize("written", ["00012ab", "12AB", " 12 ab\0", "0-12-AB"])
def test_a_local_id_is_the_same_however_it_is_written(written: str) -> None:
    patient = PatientIds(((written, "RBH"),))
    assert KEYS.local("12ab") in KEYS.of(patient)
    assert KEYS.local("012AB", "rbh ") in KEYS.of(patient)
    assert KEYS.local("12ab", "OTHER") not in KEYS.of(patient)
    assert canonical("000") == "0"


@given(st.text(min_size=1), st.text(), st.text(min_size=1), st.text())
def test_different_ids_have_different_keys(one: str, first: str, other: str, second: str) -> None:
    same = (canonical(one), first.strip(" \0").upper()) == (canonical(other), second.strip(" \0").upper())
    assert (KEYS.local(one, first) == KEYS.local(other, second)) == same
    assert OptOutKeys(bytes(32)).local(one, first) != KEYS.local(one, first)


def test_a_hashed_list_matches_by_its_own_scheme() -> None:
    patient = PatientIds((("A0012", "RBH"), ("943 476 5919", "NHS")))
    salted, keyed = Scheme(Kind.SHA256, b"pepper"), Scheme(Kind.HMAC, b"pepper")
    digest = sha256(b"pepper" + b"9434765919").hexdigest()
    assert KEYS.hashed(salted, digest.upper()) in KEYS.of(patient, [salted])
    assert KEYS.hashed(salted, salted.digest("A0012")) in KEYS.of(patient, [salted])
    assert KEYS.hashed(keyed, keyed.digest("9434765919")) in KEYS.of(patient, [keyed])
    assert KEYS.hashed(keyed, digest) not in KEYS.of(patient, [salted, keyed])
    assert KEYS.of(patient).isdisjoint({KEYS.hashed(salted, digest)})


def test_a_list_is_read_with_its_comments_and_kinds() -> None:
    text = "# from the national list\n\n943 476 5919\nnhs,9434765919\nlocal,0012\nLOCAL, 12 , RBH\nsha256," + "AB" * 32
    kinds = [(each.kind, each.value, each.issuer) for each in read_list(text.split("\n"))]
    assert kinds == [
        (Kind.NHS, "9434765919", ""),
        (Kind.NHS, "9434765919", ""),
        (Kind.LOCAL, "0012", ""),
        (Kind.LOCAL, "12", "RBH"),
        (Kind.SHA256, "ab" * 32, ""),
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("9434765918", "NHS number"),
        ("nhs,SECRET-ID", "NHS number"),
        ("local,", "1 to 64"),
        ("md5,SECRET-ID", "kind"),
        ("sha256,SECRET-ID", "digest"),
        ("nhs,9434765919,SECRET-ID", "too many"),
        ("local,a,b,SECRET-ID", "too many"),
    ],
)
def test_a_list_with_a_bad_line_is_refused_whole_and_no_value_is_told(line: str, why: str) -> None:
    with pytest.raises(ListRefused, match=why) as refused:
        read_list(["9434765919", line])
    assert "line 2" in str(refused.value)
    assert "SECRET" not in str(refused.value) and "943476" not in str(refused.value)
