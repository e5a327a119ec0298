"""Passwords: what is refused, and that no word of one or of its hash gets where it can be read."""

from __future__ import annotations

import logging

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.people.people_lab import CHEAP, GOOD, PeopleLab

from wardround.people import accounts
from wardround.people.password import PasswordRefused, Passwords, check_password
from wardround.people.tables import Account


@pytest.mark.parametrize(
    "password",
    [
        "short one",
        "x" * 257,
        "passwordpassword",
        "P4ssw0rd!2026",
        "Hospital2026!!",
        "wardroundwardround7",
        "1234567890123",
        "qwertyuiop123",
        "aaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "19841231-0712",
        "anna-anna-anna",
        "anna19841984",
        "correcthorsebatterystaple",
        "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44\uff11\uff12\uff13\uff14",  # full-width "password1234"
    ],
)
def test_a_password_that_guessers_try_first_is_refused(password: str) -> None:
    with pytest.raises(PasswordRefused) as refusal:
        check_password(password, "anna")
    assert password not in str(refusal.value)


@pytest.mark.parametrize("password", [GOOD, "plums and Anna's pie", "9f3kd02mzpq1", "密码是一个很好的长东西吗对"])
def test_a_long_one_is_taken_whatever_it_is_made_of(password: str) -> None:
    check_password(password, "anna")


@given(password=st.text(max_size=300))
def test_any_text_is_taken_or_refused_in_words(password: str) -> None:
    try:
        check_password(password, "anna-aster")
    except PasswordRefused as refusal:
        assert refusal.code == "password-refused"


def test_the_same_password_typed_in_another_unicode_form_matches() -> None:
    passwords = Passwords(CHEAP)
    kept = passwords.hash("cr\u00e8me br\u00fbl\u00e9e")
    assert passwords.matches(kept, "cre\u0300me bru\u0302le\u0301e")
    assert not passwords.matches(kept, "creme brulee") and not passwords.matches("rubbish", "creme brulee")


def test_hashes_are_made_by_rfc_9106s_second_option_and_older_ones_are_told() -> None:
    passwords = Passwords()
    assert extract_parameters(passwords.hash(GOOD)) == RFC_9106_LOW_MEMORY
    assert passwords.outdated(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(GOOD))


def test_no_secret_is_in_a_log_a_text_of_an_object_or_the_audit(
    lab: PeopleLab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    code = lab.invite("anna")
    offer = accounts.offer_codes(lab.roster, "anna", code, source="desk")
    lab.telephones["anna"] = offer.secret
    recovery = accounts.enrol(lab.roster, "anna", code, GOOD, lab.code("anna"), source="desk")
    lab.later(minutes=1)
    signed = lab.sign_in("anna")
    with lab.database.reading() as session:
        account = session.get_one(Account, "anna")
        details = " ".join(session.scalars(lab.audit.__table__.select().with_only_columns(lab.audit.detail)))
    assert account.password is not None and account.password.startswith("$argon2id$")
    texts = [repr(each) for each in (account, offer, signed, lab.roster, lab.passwords)]
    shown = " ".join([*texts, str(signed), str(account), details, caplog.text, repr(lab.audited())])
    for secret in (account.password, "$argon2", GOOD, code, offer.secret, signed.token, *recovery):
        assert secret not in shown
