"""Signing in with the two fields that clients have, and tickets that open one image once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.people.people_lab import GOOD, PeopleLab

from wardround.node.annotate import callers
from wardround.node.annotate.callers import Callers, Tickets, series_of
from wardround.node.dicomweb.failure import WebFailure
from wardround.people.acting import Actor
from wardround.people.roles import Role

LEE = Actor("person:dr-lee")


@pytest.fixture
def people(tmp_path: Path) -> Iterator[PeopleLab]:
    made = PeopleLab(tmp_path)
    made.person("boss")
    made.person("dr-lee", Role.RADIOLOGIST, actor="person:boss")
    yield made
    made.close()


@pytest.mark.parametrize("between", [" ", ","])
def test_the_second_factor_stands_after_the_password(people: PeopleLab, between: str) -> None:
    door = Callers(people.roster)
    signed = door.sign_in("dr-lee", f"{GOOD}{between}{people.code('dr-lee')}", "10.0.0.1")
    assert door.caller(f"Bearer {signed.token}").actor == "person:dr-lee"
    for wrong in (GOOD, f"{GOOD} {people.wrong_code('dr-lee')}", ""):
        with pytest.raises(WebFailure) as refused:
            door.sign_in("dr-lee", wrong, "10.0.0.1")
        assert refused.value.status == 401


def test_who_may_not_draw_is_signed_out_at_once(people: PeopleLab) -> None:
    with pytest.raises(WebFailure) as refused:
        Callers(people.roster).sign_in("boss", f"{GOOD} {people.code('boss')}", "10.0.0.1")
    assert refused.value.status == 403
    assert [verb for _, verb, _ in people.audited("sign-in", "sign-out")] == ["sign-in", "sign-out"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic ZHItbGVlOng=", "bearer  "])
def test_any_other_header_is_nobody(people: PeopleLab, header: str) -> None:
    with pytest.raises(WebFailure) as refused:
        Callers(people.roster).caller(header)
    assert refused.value.status == 401


def test_a_ticket_opens_its_own_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tickets = Tickets()
    name = tickets.name("1.2.3", LEE)
    assert series_of(name) == "1.2.3"
    assert tickets.spend("1.2.3") is None
    assert tickets.spend(name) == ("1.2.3", LEE)
    assert tickets.spend(name) is None
    other = tickets.name("1.2.3", LEE)
    assert tickets.spend(other.replace("1.2.3", "1.2.4")) is None
    monkeypatch.setattr(callers, "TICKET_SECONDS", -1.0)
    assert tickets.spend(tickets.name("1.2.3", LEE)) is None
