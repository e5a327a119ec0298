"""Signing in: what opens, what doesn't, that nothing tells why, and that guessing doesn't get far."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text
from tests.unit.people.people_lab import CHEAP, GOOD, CountedPasswords, PeopleLab

from wardround.people import accounts, totp
from wardround.people.attempts import LockedOut
from wardround.people.password import Passwords
from wardround.people.roles import Role
from wardround.people.sessions import person_of
from wardround.people.settings import PeopleSettings
from wardround.people.sign_in import SignedIn, SignInRefused, change_password, sign_in
from wardround.people.tables import Account

WRONG = "wrong gnome quilt"


def refused(lab: PeopleLab, name: str, password: str = WRONG, code: str = "", source: str = "desk") -> SignInRefused:
    with pytest.raises(SignInRefused) as refusal:
        sign_in(lab.roster, name, password, code, source=source)
    return refusal.value


def together(*calls: Callable[[], SignedIn]) -> list[SignedIn | Exception]:
    """What becomes of calls that begin at the same moment."""
    start = Barrier(len(calls))

    def one(call: Callable[[], SignedIn]) -> SignedIn | Exception:
        start.wait()
        try:
            return call()
        except (SignInRefused, LockedOut) as refusal:
            return refusal

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def test_password_and_code_open_a_session_of_that_person(lab: PeopleLab) -> None:
    lab.person("anna")
    signed = lab.sign_in("anna")
    person = person_of(lab.roster, signed.token)
    assert (person.name, person.place, {grant.role for grant in person.grants}) == ("anna", "north", {Role.OPERATOR})
    assert lab.audited("sign-in") == [("person:anna", "sign-in", "anna")]


def test_whatever_is_wrong_the_answer_is_the_same(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.invite("bob", Role.ENGINEER)
    told = {
        str(refused(lab, "anna", WRONG, lab.code("anna"))),
        str(refused(lab, "anna", GOOD, lab.wrong_code("anna"))),
        str(refused(lab, "anna", GOOD, "")),
        str(refused(lab, "bob", GOOD, "123456")),
        str(refused(lab, "nobody", GOOD, "123456")),
        str(refused(lab, "No Name! " + GOOD, GOOD, "123456")),
    }
    assert len(told) == 1
    with lab.database.reading() as session:
        details = list(session.scalars(lab.audit.__table__.select().with_only_columns(lab.audit.detail)))
    assert [subject for _, _, subject in lab.audited("sign-in-failed")] == ["anna"] * 3 + ["bob"] + ["unknown"] * 2
    assert not any("nobody" in detail or GOOD in detail for detail in details)


@pytest.mark.parametrize("name", ["anna", "bob", "carol", "nobody", "Not A Name"])
def test_one_hash_is_computed_whether_the_name_is_known_or_not(lab: PeopleLab, name: str) -> None:
    """Counted, since times can't be tested: the hash takes all the time there is to tell names apart by."""
    lab.person("anna")
    lab.invite("bob", Role.ENGINEER)
    lab.person("carol", Role.ENGINEER)
    accounts.remove(lab.roster, "carol", actor="person:anna")
    before = lab.passwords.computed
    refused(lab, name, WRONG, "123456")
    assert lab.passwords.computed == before + 1


def test_a_code_is_taken_once(lab: PeopleLab) -> None:
    lab.person("anna")
    code = lab.code("anna")
    sign_in(lab.roster, "anna", GOOD, code, source="desk")
    refused(lab, "anna", GOOD, code)
    lab.later(seconds=totp.STEP_SECONDS)
    refused(lab, "anna", GOOD, code)
    sign_in(lab.roster, "anna", GOOD, lab.code("anna"), source="desk")


def test_the_code_that_enrolled_doesnt_sign_in(lab: PeopleLab) -> None:
    code = lab.invite("anna")
    lab.telephones["anna"] = accounts.offer_codes(lab.roster, "anna", code, source="desk").secret
    first = lab.code("anna")
    accounts.enrol(lab.roster, "anna", code, GOOD, first, source="desk")
    refused(lab, "anna", GOOD, first)


def test_a_recovery_code_stands_in_once(lab: PeopleLab) -> None:
    codes = lab.person("anna")
    signed = sign_in(lab.roster, "anna", GOOD, codes[0].lower().replace("-", " "), source="desk")
    assert signed.recovery_left == len(codes) - 1
    refused(lab, "anna", GOOD, codes[0])
    refused(lab, "anna", WRONG, codes[1])
    assert sign_in(lab.roster, "anna", GOOD, codes[1], source="desk").recovery_left == len(codes) - 2


def test_somebody_elses_recovery_code_is_none(lab: PeopleLab) -> None:
    lab.person("anna")
    codes = lab.person("bob", Role.ENGINEER)
    refused(lab, "anna", GOOD, codes[0])


def test_wrong_sign_ins_make_the_next_one_wait_longer_each_time(lab: PeopleLab) -> None:
    lab.person("anna")
    for _ in range(5):
        refused(lab, "anna")
    waits = []
    for _ in range(10):
        with pytest.raises(LockedOut) as locked:
            lab.sign_in("anna")
        assert locked.value.until is not None and f"{locked.value.until:%H:%M:%S}Z" in str(locked.value)
        waits.append(locked.value.until - lab.moment)
        lab.moment = locked.value.until
        refused(lab, "anna")
    assert waits[:4] == [timedelta(seconds=seconds) for seconds in (30, 60, 120, 240)]
    assert waits[-1] == timedelta(hours=1) == max(waits)
    lab.later(hours=1)
    lab.sign_in("anna")
    refused(lab, "anna")  # the count has begun anew
    lab.sign_in("anna")
    assert ("program", "lock-out", "anna") in lab.audited("lock-out")


def test_no_hash_is_computed_for_who_is_locked_out(lab: PeopleLab) -> None:
    lab.person("anna")
    for _ in range(5):
        refused(lab, "anna")
    before = lab.passwords.computed
    for name in ("anna", "anna"):
        with pytest.raises(LockedOut):
            sign_in(lab.roster, name, GOOD, lab.code("anna"), source="desk")
    assert lab.passwords.computed == before


def test_names_that_nobody_has_are_locked_out_alike(lab: PeopleLab) -> None:
    """Or else a lock-out would tell which names there are."""
    lab.person("anna")
    for name in ("anna", "nobody"):
        for _ in range(5):
            refused(lab, name)
        with pytest.raises(LockedOut):
            sign_in(lab.roster, name, WRONG, source="desk")


def test_a_source_that_tries_many_names_waits_and_others_dont(lab: PeopleLab) -> None:
    lab.person("anna")
    for number in range(30):
        refused(lab, f"guess-{number}", source="10.0.0.9")
    with pytest.raises(LockedOut):
        sign_in(lab.roster, "anna", GOOD, lab.code("anna"), source="10.0.0.9")
    lab.sign_in("anna", source="10.0.0.1")
    lab.later(minutes=1)
    lab.sign_in("anna", source="10.0.0.9")


def test_right_sign_ins_from_one_place_dont_add_up_and_dont_hide_wrong_ones(lab: PeopleLab) -> None:
    """Many people share a workstation; and somebody with one account can't use it to guess at the others for free."""
    lab.person("anna")
    for _ in range(31):
        lab.sign_in("anna", source="10.0.0.9")
    for number in range(29):
        refused(lab, f"guess-{number}", source="10.0.0.9")
    lab.sign_in("anna", source="10.0.0.9")
    refused(lab, "guess-30", source="10.0.0.9")
    with pytest.raises(LockedOut):
        lab.sign_in("anna", source="10.0.0.9")


def test_an_operator_unlocks_at_once(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.DATA_CONTROLLER)
    for _ in range(5):
        refused(lab, "bob")
    assert [line.state for line in accounts.lines(lab.roster)] == ["enrolled", "locked"]
    assert accounts.unlock(lab.roster, "bob", actor="person:anna")
    assert not accounts.unlock(lab.roster, "bob", actor="person:anna")
    lab.sign_in("bob")
    assert lab.audited("unlock-person")[0] == ("person:anna", "unlock-person", "bob")


def test_after_a_hundred_in_a_row_somebody_has_to_unlock(tmp_path: Path) -> None:
    """However slowly they come (NIST SP 800-63B section 3.2.2)."""
    lab = PeopleLab(tmp_path, settings=PeopleSettings(most_failures=8))
    lab.person("anna")
    for _ in range(8):
        refused(lab, "anna")
        lab.later(hours=2)
    lab.later(days=30)
    with pytest.raises(LockedOut, match="until an operator or engineer unlocks it") as locked:
        lab.sign_in("anna")
    assert locked.value.until is None
    accounts.unlock(lab.roster, "anna", actor="os:anna")
    lab.sign_in("anna")
    lab.close()


def test_many_guesses_at_the_same_moment_are_no_more_than_one_after_the_other(lab: PeopleLab) -> None:
    lab.person("anna")
    outcomes = together(*[lambda: sign_in(lab.roster, "anna", WRONG, source="desk")] * 8)
    assert sum(isinstance(outcome, SignInRefused) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, LockedOut) for outcome in outcomes) == 3


def test_of_two_sign_ins_with_one_code_at_the_same_moment_one_wins(lab: PeopleLab) -> None:
    lab.person("anna")
    code = lab.code("anna")
    outcomes = together(*[lambda: sign_in(lab.roster, "anna", GOOD, code, source="desk")] * 2)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["SignInRefused", "SignedIn"]


def test_a_sign_in_sees_the_code_that_another_is_taking(lab: PeopleLab) -> None:
    """The step above, made to happen: the second comes while the first has taken the code and hasn't committed."""
    if lab.database.is_sqlite:
        pytest.skip("SQLite lets in one writer at a time")
    lab.person("anna")
    code = lab.code("anna")
    waits = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with ThreadPoolExecutor(1) as pool:
        with lab.database.writing() as first:
            first.get_one(Account, "anna").totp_step = totp.step_at(lab.moment)
            first.flush()
            second = pool.submit(sign_in, lab.roster, "anna", GOOD, code, source="desk")
            while not second.done():
                with lab.database.reading() as watching:
                    if watching.scalar(waits):
                        break
        with pytest.raises(SignInRefused):
            second.result()


def test_two_people_signing_in_at_the_same_moment_both_get_in(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.ENGINEER)
    outcomes = together(
        lambda: sign_in(lab.roster, "anna", GOOD, lab.code("anna"), source="desk"),
        lambda: sign_in(lab.roster, "bob", GOOD, lab.code("bob"), source="desk"),
    )
    assert [outcome.name for outcome in outcomes if isinstance(outcome, SignedIn)] == ["anna", "bob"]


def test_signing_in_renews_a_hash_of_other_parameters(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.roster.passwords = CountedPasswords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    lab.sign_in("anna")
    with lab.database.reading() as session:
        kept = session.get_one(Account, "anna").password
    assert kept is not None and "m=16,t=2" in kept
    lab.sign_in("anna")


def test_a_reset_or_a_new_password_while_somebody_signs_in_leaves_them_outside(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.ENGINEER)
    bob = person_of(lab.roster, lab.sign_in("bob").token)

    def reset() -> None:
        accounts.reset(lab.roster, "bob", actor="person:anna", reason="a test")

    def change() -> None:
        change_password(lab.roster, bob, GOOD, "plums and pie at noon", source="desk")

    class Meanwhile(Passwords):
        def __init__(self, happens: Callable[[], None]) -> None:
            super().__init__(CHEAP)
            self._happens = happens

        def matches(self, kept: str, password: str) -> bool:
            lab.roster.passwords = lab.passwords
            self._happens()
            return super().matches(kept, password)

    for happens in (change, reset):
        lab.roster.passwords = Meanwhile(happens)
        refused(lab, "bob", GOOD, lab.code("bob"))


def test_where_codes_are_required_an_account_without_one_stays_outside(tmp_path: Path) -> None:
    lab = PeopleLab(tmp_path, settings=PeopleSettings(second_factor="optional"))
    accounts.enrol(lab.roster, "anna", lab.invite("anna"), GOOD, "", source="desk")
    sign_in(lab.roster, "anna", GOOD, source="desk")
    lab.roster.settings = PeopleSettings()
    refused(lab, "anna", GOOD)
    with pytest.raises(accounts.NotAllowed, match="second factor"):
        accounts.enrol(lab.roster, "bob", lab.invite("bob", Role.ENGINEER), GOOD, "", source="desk")
    lab.close()
