"""Sessions: whose they are, when they end, and that a stolen token is worth nothing afterwards or elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.unit.people.people_lab import GOOD, PeopleLab

from wardround.people import accounts, cookie, grants, sessions
from wardround.people.acting import acting_as
from wardround.people.attempts import LockedOut
from wardround.people.grants import scoped
from wardround.people.password import PasswordRefused
from wardround.people.rights import MayNot, can_may
from wardround.people.roles import Program, Role
from wardround.people.sessions import NotSignedIn, person_of
from wardround.people.sign_in import SignInRefused, change_password, sign_in
from wardround.people.tables import SignIn


def test_an_ended_session_opens_nothing_also_for_who_has_its_token(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.ENGINEER)
    ends = [
        lambda signed: sessions.sign_out(lab.roster, signed.token),
        lambda signed: sessions.end_session(lab.roster, signed.session, actor="person:anna"),
        lambda signed: sessions.end_all(lab.roster, "bob", actor="person:anna"),
        lambda signed: accounts.reset(lab.roster, "bob", actor="person:anna", reason="stolen"),
    ]
    for end in ends:
        signed = lab.sign_in("bob")
        assert person_of(lab.roster, signed.token).name == "bob"
        end(signed)
        with pytest.raises(NotSignedIn):
            person_of(lab.roster, signed.token)
    with pytest.raises(NotSignedIn):
        person_of(lab.roster, "")


def test_the_database_doesnt_hold_the_token(tmp_path: Path) -> None:
    lab = PeopleLab(tmp_path)
    lab.person("anna")
    token = lab.sign_in("anna").token.encode()
    lab.close()
    assert len(token) == 43
    assert not any(token in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_it_ends_without_use_and_after_its_hours_whatever_is_done(lab: PeopleLab) -> None:
    lab.person("anna")
    token = lab.sign_in("anna").token
    lab.later(minutes=31)
    with pytest.raises(NotSignedIn):
        person_of(lab.roster, token)
    token = lab.sign_in("anna").token
    for _ in range(12 * 3):
        person_of(lab.roster, token)
        lab.later(minutes=20)
    with pytest.raises(NotSignedIn):
        person_of(lab.roster, token)
    assert sessions.going_on(lab.roster) == []


def test_a_role_that_was_taken_is_gone_at_the_next_check(lab: PeopleLab) -> None:
    lab.person("anna")
    lab.person("bob", Role.DATA_CONTROLLER, project="glioma")
    token = lab.sign_in("bob").token
    actor, person = acting_as(lab.roster, token, "approve-project", "glioma")
    assert actor == "person:bob" and can_may(person, "refuse-project", "glioma")
    grants.take(lab.roster, "bob", scoped(lab.roster, Role.DATA_CONTROLLER, "glioma"), actor="person:anna")
    with pytest.raises(MayNot):
        acting_as(lab.roster, token, "approve-project", "glioma")
    assert lab.audited("revoke-role", "refused") == [
        ("person:anna", "revoke-role", "bob"),
        ("person:bob", "refused", "approve-project"),
    ]


def test_signing_in_anew_ends_the_session_that_it_replaces_and_no_other(lab: PeopleLab) -> None:
    lab.person("anna")
    first, other = lab.sign_in("anna"), lab.sign_in("anna")
    second = sign_in(lab.roster, "anna", GOOD, lab.code("anna"), source="desk", replaces=first.token)
    assert second.token != first.token
    with pytest.raises(NotSignedIn):
        person_of(lab.roster, first.token)
    assert {row.id for row in sessions.going_on(lab.roster)} == {second.session, other.session}


def test_a_session_of_the_hub_opens_nothing_at_a_node_nor_at_another_site(tmp_path: Path) -> None:
    """Not even where rows and key were copied: what is kept of a token is bound to program and place."""
    (hub_folder := tmp_path / "hub").mkdir()
    (node_folder := tmp_path / "node").mkdir()
    hub = PeopleLab(hub_folder, program=Program.HUB, place="trial")
    hub.person("mallory")
    token = hub.sign_in("mallory").token
    node = PeopleLab(node_folder)
    with pytest.raises(NotSignedIn):
        person_of(node.roster, token)
    node.invite("mallory")
    node.close()
    shutil.copy(hub_folder / "hub-people.key", node_folder / "node-people.key")
    node = PeopleLab(node_folder)
    with hub.database.reading() as of_hub, node.database.writing() as of_node:
        row = of_hub.scalars(select(SignIn)).one()
        columns = [column.name for column in SignIn.__table__.columns]
        of_node.add(SignIn(**{name: getattr(row, name) for name in columns}))
    node.moment = hub.moment
    assert [row.person for row in sessions.going_on(node.roster)] == ["mallory"]
    with pytest.raises(NotSignedIn):
        person_of(node.roster, token)
    hub.close()
    node.close()


def test_a_new_password_ends_the_other_sessions(lab: PeopleLab) -> None:
    lab.person("anna")
    stolen, own = lab.sign_in("anna").token, lab.sign_in("anna").token
    person = person_of(lab.roster, own)
    with pytest.raises(PasswordRefused):
        change_password(lab.roster, person, GOOD, "password1234", source="desk")
    change_password(lab.roster, person, GOOD, "plums and pie at noon", source="desk")
    assert person_of(lab.roster, own).name == "anna"
    with pytest.raises(NotSignedIn):
        person_of(lab.roster, stolen)
    with pytest.raises(SignInRefused):
        sign_in(lab.roster, "anna", GOOD, lab.code("anna"), source="desk")
    lab.sign_in("anna", "plums and pie at noon")


def test_who_has_a_session_cant_guess_the_password_by_changing_it(lab: PeopleLab) -> None:
    lab.person("anna")
    person = person_of(lab.roster, lab.sign_in("anna").token)
    for _ in range(5):
        with pytest.raises(SignInRefused):
            change_password(lab.roster, person, "wrong gnome quilt", "plums and pie at noon", source="desk")
    with pytest.raises(LockedOut):
        change_password(lab.roster, person, GOOD, "plums and pie at noon", source="desk")


def test_a_form_of_another_session_or_site_isnt_taken() -> None:
    assert cookie.is_form_token("token-a", cookie.form_token("token-a"))
    assert not cookie.is_form_token("token-a", cookie.form_token("token-b"))
    assert not cookie.is_form_token("token-a", "") and "token-a" not in cookie.form_token("token-a")
    given = cookie.attributes(secure=True)
    assert given["httponly"] and given["secure"] and given["samesite"] == "strict"
    assert cookie.cookie_name(Program.NODE, "north", secure=True) == "__Host-wardround-node-north"
