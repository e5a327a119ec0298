"""Every page and every form of hub and node, called as every role and as nobody: the table says who gets in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from tests.pages_lab import ASKED, Face, HubLab, NodeLab, form_of

from wardround.people.rights import RIGHTS, Grant, Person, can_may
from wardround.people.roles import ROLES_AT, Program, Role
from wardround.ui.page import ANYBODY, SIGNED_IN, Page

NODE_PLACE, HUB_PLACE = "north", "trial"
OF_ITS_OWN = re.compile(r"<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=|<style|javascript:")
PARTS = {"project": ASKED.id, "name": "nobody-at-all"}


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Program, Face]]:
    node, hub = NodeLab(tmp_path_factory.mktemp("node")), HubLab(tmp_path_factory.mktemp("hub") / "home")
    yield {Program.NODE: node.face, Program.HUB: hub.face}
    node.close()
    hub.close()


def address(page: Page) -> str:
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda part: PARTS.get(part[1], "none-such"), page.path)


def expected(program: Program, role: Role | None, may: str) -> bool:
    if may == ANYBODY:
        return True
    if role is None:
        return False
    place = NODE_PLACE if program is Program.NODE else HUB_PLACE
    grant = Grant(role, None, NODE_PLACE if program is Program.NODE else None)
    return may == SIGNED_IN or can_may(Person("x", program, place, frozenset({grant})), may, ASKED.id)


@pytest.mark.parametrize("program", list(Program))
def test_every_page_opens_for_those_whom_the_table_names_and_for_nobody_else(
    labs: dict[Program, Face], program: Program
) -> None:
    """A form is sent as from another session, so that whoever gets past the right is stopped there, and nothing is
    changed by the walk. What opens holds no script and no style of its own: the policy would keep it from working."""
    face = labs[program]
    for role in (None, *sorted(ROLES_AT[program])):
        browser = face.browser("" if role is None else role.value)
        for page in face.faces.pages:
            where = f"{page.method} {page.path} as {role}"
            if page.method == "GET":
                answer = browser.get(address(page))
                if expected(program, role, page.may):
                    assert answer.status_code in (200, 303, 404), (where, answer.text)
                    assert not OF_ITS_OWN.search(answer.text), where
                elif role is None:
                    assert (answer.status_code, answer.headers["location"][:9]) == (303, "/sign-in?"), where
                else:
                    assert answer.status_code == 403 and "You may not do that" in answer.text, where
            else:
                answer = browser.post(address(page), data={"form": "forged", "name": "x"})
                if page.may == ANYBODY and role is None:
                    continue
                assert answer.status_code == 403, where
                stopped = "This form isn't of your session" in unescape(answer.text)
                assert stopped == expected(program, role, page.may), where


@pytest.mark.parametrize("program", list(Program))
def test_every_answer_carries_what_browsers_are_told(labs: dict[Program, Face], program: Program) -> None:
    face = labs[program]
    for role in ("", "operator"):
        browser = face.browser(role)
        addresses = [address(page) for page in face.faces.pages if page.method == "GET"]
        for where in (*addresses, "/assets/wardround.css", "/assets/../settings.py", "/nowhere", "/sign-out"):
            headers = browser.get(where).headers
            policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
            assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'", where
            assert "unsafe" not in headers["content-security-policy"], where
            assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
            assert where.startswith("/assets/") or headers["cache-control"] == "no-store", where


def test_no_verb_of_showing_is_left_that_no_page_has(labs: dict[Program, Face]) -> None:
    used = {page.may for face in labs.values() for page in face.faces.pages}
    assert {verb for verb in RIGHTS if verb.startswith("see-")} <= used


def test_a_form_from_elsewhere_is_refused(labs: dict[Program, Face]) -> None:
    browser = labs[Program.NODE].browser("operator")
    form = form_of(browser.get("/people"))
    other = browser.post("/sign-out", data={"form": form}, headers={"Sec-Fetch-Site": "cross-site"})
    assert other.status_code == 403 and "This form isn" in other.text
    assert browser.get("/people").status_code == 200
