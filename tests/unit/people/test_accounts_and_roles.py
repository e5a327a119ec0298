"""Accounts and roles: who makes whom, that nobody raises themselves, and that somebody can always keep the accounts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from tests.unit.people.people_lab import GOOD, OWNER, PeopleLab

from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.people import accounts, grants, sessions
from wardround.people.accounts import CodeRefused
from wardround.people.attempts import LockedOut
from wardround.people.grants import scoped
from wardround.people.password import PasswordRefused
from wardround.people.rights import Grant
from wardround.people.roles import Program, Role
from wardround.people.roster import PeopleDamaged
from wardround.people.sign_in import SignInRefused, sign_in


def held(lab: PeopleLab, name: str) -> set[Role]:
    with lab.database.reading() as session:
        return {grant.role for grant in grants.grants_of(session, name)}


def test_the_first_account_is_an_operators_and_nothing_more(lab: PeopleLab) -> None:
    assert lab.roster.empty()
    for roles in ([Role.DATA_CONTROLLER], [Role.OPERATOR, Role.DATA_CONTROLLER]):
        with pytest.raises(NotAllowed):
            lab.invite("anna", *roles)
    assert lab.roster.empty() and lab.audited() == []
    lab.invite("anna")
    assert not lab.roster.empty()
    assert lab.audited() == [(OWNER, "add-person", "anna"), (OWNER, "grant-role", "anna")]


def test_nobody_gives_a_role_to_themselves(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.ENGINEER, actor="person:anna")
    with pytest.raises(NotAllowed):
        grants.give(lab.roster, "anna", scoped(lab.roster, Role.DATA_CONTROLLER), actor="person:anna")
    grants.give(lab.roster, "bob", scoped(lab.roster, Role.DATA_CONTROLLER), actor="person:anna")
    assert held(lab, "anna") == {Role.OPERATOR} and held(lab, "bob") == {Role.ENGINEER, Role.DATA_CONTROLLER}
    with pytest.raises(Conflict):
        grants.give(lab.roster, "bob", scoped(lab.roster, Role.ENGINEER), actor="person:anna")


def test_a_role_is_taken_as_it_was_given(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.DATA_CONTROLLER, project="glioma")
    with pytest.raises(NotFound):
        grants.take(lab.roster, "bob", scoped(lab.roster, Role.DATA_CONTROLLER), actor="person:anna")
    grants.take(lab.roster, "bob", scoped(lab.roster, Role.DATA_CONTROLLER, "glioma"), actor="person:anna")
    assert held(lab, "bob") == set()


def test_the_last_operator_who_can_sign_in_stays(lab: PeopleLab) -> None:
    operator = scoped(lab.roster, Role.OPERATOR)
    lab.person("anna")
    code = lab.invite("bob", actor="person:anna")  # an operator who hasn't enrolled is of no help yet
    for end in (
        lambda: accounts.remove(lab.roster, "anna", actor="person:anna"),
        lambda: grants.take(lab.roster, "anna", operator, actor="person:anna"),
        lambda: accounts.reset(lab.roster, "anna", actor="person:anna", reason="a test"),
    ):
        with pytest.raises(NotAllowed, match="last operator"):
            end()
    lab.enrol("bob", code)
    accounts.remove(lab.roster, "anna", actor="person:anna")
    with pytest.raises(NotAllowed, match="last operator"):
        grants.take(lab.roster, "bob", operator, actor="person:bob")


def test_two_operators_dont_remove_each_other_at_the_same_moment(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.OPERATOR)
    start = Barrier(2)

    def remove(who: str, by: str) -> bool:
        start.wait()
        try:
            accounts.remove(lab.roster, who, actor=f"person:{by}")
        except (NotAllowed, NotFound):
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(remove, ("anna", "bob"), ("bob", "anna")))
    assert sorted(done) == [False, True]
    assert sorted(line.state for line in accounts.lines(lab.roster)) == ["enrolled", "removed"]


def test_who_looks_for_another_operator_holds_them_all(lab: PeopleLab) -> None:
    """Or two operators who are removed at the same moment would each be the other's last one."""
    if lab.database.is_sqlite:
        pytest.skip("SQLite lets in one writer at a time")
    lab.person("anna")
    lab.person("bob", Role.OPERATOR)
    with lab.database.writing() as first:
        grants.check_operator_stays(first, "anna")
        with pytest.raises(OperationalError, match="lock timeout"), lab.database.writing() as second:
            second.execute(text("SET LOCAL lock_timeout = '50ms'"))
            grants.check_operator_stays(second, "bob")


def test_a_removed_account_opens_nothing_and_its_name_stays_taken(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.DATA_CONTROLLER)
    token = lab.sign_in("bob").token
    accounts.remove(lab.roster, "bob", actor="person:anna")
    with pytest.raises(sessions.NotSignedIn):
        sessions.person_of(lab.roster, token)
    with pytest.raises(SignInRefused):
        lab.sign_in("bob")
    assert held(lab, "bob") == set()
    with pytest.raises(Conflict):
        lab.invite("bob", Role.ENGINEER, actor="person:anna")
    with pytest.raises(NotFound):
        accounts.unlock(lab.roster, "bob", actor="person:anna")


def test_an_enrolment_code_is_good_once_for_its_person_and_its_time(lab: PeopleLab) -> None:
    code = lab.invite("anna")
    other = lab.invite("bob", Role.ENGINEER)
    for name, given in (("anna", other), ("bob", code), ("nobody", code), ("anna", "")):
        with pytest.raises(CodeRefused):
            accounts.offer_codes(lab.roster, name, given, source="desk")
    lab.enrol("anna", code)
    with pytest.raises(CodeRefused):
        accounts.offer_codes(lab.roster, "anna", code, source="desk")
    lab.later(hours=73)
    with pytest.raises(CodeRefused):
        accounts.offer_codes(lab.roster, "bob", other, source="desk")


def test_enrolment_codes_cant_be_guessed_for_long(lab: PeopleLab) -> None:
    code = lab.invite("anna")
    for _ in range(5):
        with pytest.raises(CodeRefused):
            accounts.offer_codes(lab.roster, "anna", "guess", source="desk")
    with pytest.raises(LockedOut):
        accounts.offer_codes(lab.roster, "anna", code, source="desk")


def test_no_hash_is_computed_for_who_has_no_code(lab: PeopleLab) -> None:
    lab.invite("anna")
    with pytest.raises(CodeRefused):
        accounts.enrol(lab.roster, "anna", "guess", GOOD, "123456", source="desk")
    assert lab.passwords.computed == 0


def test_enrolment_wants_a_good_password_and_a_true_first_code(lab: PeopleLab) -> None:
    code = lab.invite("anna")
    lab.telephones["anna"] = accounts.offer_codes(lab.roster, "anna", code, source="desk").secret
    tries: list[tuple[str, str, type[NotAllowed]]] = [
        ("password1234", lab.code("anna"), PasswordRefused),
        (GOOD, lab.wrong_code("anna"), CodeRefused),
        (GOOD, "", NotAllowed),
    ]
    for password, first, error in tries:
        with pytest.raises(error):
            accounts.enrol(lab.roster, "anna", code, password, first, source="desk")
    assert [line.state for line in accounts.lines(lab.roster)] == ["to enrol"]
    assert len(accounts.enrol(lab.roster, "anna", code, GOOD, lab.code("anna"), source="desk")) == 8


def test_the_owner_of_the_home_can_reset_the_last_operator_and_it_is_on_the_record(lab: PeopleLab) -> None:
    codes = lab.person("anna")
    code, _ = accounts.reset(lab.roster, "anna", actor=OWNER, reason="break-glass: telephone lost")
    with pytest.raises(SignInRefused):
        sign_in(lab.roster, "anna", GOOD, codes[0], source="desk")
    lab.enrol("anna", code, "plums and pie at noon")
    lab.sign_in("anna", "plums and pie at noon")
    assert lab.audited("reset-person") == [(OWNER, "reset-person", "anna")]
    assert held(lab, "anna") == {Role.OPERATOR}


def test_roles_are_those_of_the_program_and_of_this_site(tmp_path: Path, lab: PeopleLab) -> None:
    assert scoped(lab.roster, Role.RADIOLOGIST) == Grant(Role.RADIOLOGIST, None, "north")
    (tmp_path / "hub").mkdir()
    hub = PeopleLab(tmp_path / "hub", program=Program.HUB, place="trial")
    assert scoped(hub.roster, Role.OPERATOR, site="south") == Grant(Role.OPERATOR, None, "south")
    impossible: list[Callable[[], Grant]] = [
        lambda: scoped(lab.roster, Role.RESEARCHER),
        lambda: scoped(lab.roster, Role.ENGINEER, site="south"),
        lambda: scoped(lab.roster, Role.OPERATOR, "glioma"),
        lambda: scoped(hub.roster, Role.DATA_CONTROLLER),
    ]
    for make in impossible:
        with pytest.raises(NotAllowed):
            make()
    hub.close()


@pytest.mark.parametrize("name", ["", "a", "Anna", "1anna", "anna_", "a" * 41, "anna\n", "ann\u0430"])
def test_names_are_plain(lab: PeopleLab, name: str) -> None:
    with pytest.raises(NotAllowed):
        lab.invite(name)


def test_another_key_is_named_as_the_fault(tmp_path: Path) -> None:
    lab = PeopleLab(tmp_path)
    codes = lab.person("anna")
    lab.close()
    (tmp_path / "node-people.key").write_bytes(b"x" * 32)
    again = PeopleLab(tmp_path)
    again.moment, again.telephones = lab.moment, lab.telephones
    with pytest.raises(PeopleDamaged, match=r"node-people\.key"):
        again.sign_in("anna")
    assert codes
    again.close()
