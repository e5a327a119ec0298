"""Signing in by a page: who gets in, what a browser is given, and what anybody else is told."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.pages_lab import ASKED, Face, NodeLab, form_of, words_of
from tests.tls_lab import Authority
from tests.unit.people.people_lab import GOOD, PeopleLab

from wardround.node.pages.table import TEMPLATES, pages
from wardround.people import accounts, totp
from wardround.people.roles import Role
from wardround.ui.application import Faces
from wardround.ui.page import LARGEST_FORM, Page
from wardround.ui.server import PagesServer
from wardround.ui.settings import PagesSettings
from wardround.ui.signing import local


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    made = NodeLab(tmp_path_factory.mktemp("node"))
    yield made
    made.close()


def send(
    lab: NodeLab, browser: httpx.Client, name: str, *, password: str = GOOD, code: str = "", **more: str
) -> httpx.Response:
    typed = {"name": name, "password": password, "code": code or lab.face.people.code(name), **more}
    answer = browser.post("/sign-in", data=typed)
    lab.clock.next_code()
    return answer


def test_name_password_and_code_open_the_page_that_was_wished_for(lab: NodeLab) -> None:
    browser = lab.face.browser()
    sent = browser.get("/projects")
    assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=/projects")
    answer = send(lab, browser, "engineer", next="/projects")
    assert (answer.status_code, answer.headers["location"]) == (303, "/projects")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
    assert "Find gliomas" in words_of(browser.get("/projects"))


def test_whatever_is_wrong_the_answer_is_the_same(lab: NodeLab) -> None:
    told = set()
    for name, password, code in (
        ("radiologist", "wrong gnome quilt", ""),
        ("radiologist", GOOD, "000000"),
        ("nobody-here", GOOD, "123456"),
    ):
        answer = send(
            lab, lab.face.browser(), name, password=password, code=code or lab.face.people.code("radiologist")
        )
        assert answer.status_code == 403 and "set-cookie" not in answer.headers and password not in answer.text
        told.add(words_of(answer).split("As of")[0])
    assert len(told) == 1 and "wrong" in told.pop()


def test_wrong_ones_in_a_row_lock_out_by_the_page_too(lab: NodeLab) -> None:
    for _ in range(5):
        lab.face.browser().post("/sign-in", data={"name": "pathway-lead", "password": "wrong gnome quilt", "code": "1"})
    answer = send(lab, lab.face.browser(), "pathway-lead")
    assert answer.status_code == 403 and "Too many wrong sign-ins: locked" in words_of(answer)


def test_a_session_ends_where_its_person_signs_out(lab: NodeLab) -> None:
    browser, other = lab.face.browser(), lab.face.browser()
    send(lab, browser, "safety-officer")
    other.cookies.update(browser.cookies)
    assert other.get("/today").status_code == 200
    browser.post("/sign-out", data={"form": form_of(browser.get("/account"))})
    assert other.get("/today").headers["location"].startswith("/sign-in")
    ended = other.post("/account/password", data={"form": "x"})
    assert ended.status_code == 403 and "Your session has ended" in words_of(ended)


def test_a_new_person_enrols_by_the_page_with_the_operators_code(lab: NodeLab) -> None:
    roster = lab.face.people.roster
    operator = lab.face.browser("operator")
    made = operator.post(
        "/people",
        data={"form": form_of(operator.get("/people")), "name": "berta", "full_name": "B", "role": "engineer"},
    )
    code = made.text.split("<p><code>")[1].split("</code>")[0]
    browser = lab.face.browser()
    secret = browser.post("/enrol", data={"name": "berta", "code": code}).text.split("<p><code>")[1].split("</code>")[0]
    typed = {"name": "berta", "code": code, "password": "plums and pie at noon", "again": "plums and pie at noon"}
    wrong = browser.post("/enrol/done", data={**typed, "first": "000000"})
    assert wrong.status_code == 403 and "telephone shows" in words_of(wrong)
    secret = wrong.text.split("<p><code>")[1].split("</code>")[0]
    first = totp.code_of(secret, totp.step_at(lab.clock()))
    done = browser.post("/enrol/done", data={**typed, "first": first})
    assert "berta is enrolled" in words_of(done) and done.text.count("<li><code>") == 8
    lab.clock.next_code()
    lab.face.people.secrets["berta"] = secret
    assert send(lab, browser, "berta", password="plums and pie at noon").status_code == 303
    assert {line.name: line.state for line in accounts.lines(roster)}["berta"] == "enrolled"


def test_a_role_for_one_project_shows_that_one_alone(lab: NodeLab) -> None:
    lab.face.people.add("stroke-only", Role.DATA_CONTROLLER, project="stroke")
    browser = lab.face.browser("stroke-only")
    assert "Find gliomas" not in browser.get("/projects").text
    assert browser.get(f"/projects/{ASKED.id}").status_code == 403
    assert browser.get("/left").status_code == 403, "what left is of all projects"


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "today", "/a\n/b", ""],
)
def test_nobody_is_led_elsewhere_after_signing_in(elsewhere: str) -> None:
    assert local(elsewhere) == "/"
    assert local("/projects?done=approved") == "/projects?done=approved"


def test_a_form_that_is_too_large_or_that_no_browser_sends_is_refused(lab: NodeLab) -> None:
    browser = lab.face.browser()
    assert browser.post("/sign-in", data={"name": "x" * LARGEST_FORM}).status_code == 413
    assert browser.post("/sign-in", content=b"\xff\xfe").status_code == 400


def test_of_what_fails_inside_a_page_nothing_is_shown(lab: NodeLab, caplog: pytest.LogCaptureFixture) -> None:
    """The log has it; whoever looks is told that it is there."""

    def broken(visit: object) -> None:
        raise ZeroDivisionError("patient 4711 in /home/secret")

    table = (*pages(lab.desk), Page("GET", "/broken", "see-today", broken))  # type: ignore[arg-type]
    face = Face(Faces(lab.face.people.roster, table, TEMPLATES, secure=False), lab.face.people)
    answer = face.browser("engineer").get("/broken")
    face.close()
    assert answer.status_code == 500 and "Something went wrong here" in answer.text
    assert "4711" not in answer.text and "ZeroDivision" not in answer.text
    assert "4711" in caplog.text


def test_a_limit_that_is_none_is_refused_in_words_and_nothing_is_decided(lab: NodeLab) -> None:
    browser = lab.face.browser("data-controller")
    page = browser.get(f"/projects/{ASKED.id}")
    sent = {"form": form_of(page), "digest": ASKED.content_digest()}
    for typed, told in (
        ({"runs": "99"}, "99 runs are more than the 3 that the project asks"),
        ({"rounds": "few"}, "rounds: 'few' is no number"),
        ({"digest": "0" * 64}, "isn't the one that stands now"),
    ):
        answer = browser.post(f"/projects/{ASKED.id}/approve", data={**sent, **typed})
        assert answer.status_code in (403, 409) and told in words_of(answer), words_of(answer)
    refused = browser.post(f"/projects/{ASKED.id}/refuse", data={**sent, "reason": "Because I say so"})
    assert refused.status_code == 403 and "no text leaves" in words_of(refused)
    assert "Approve this edition" in browser.get(f"/projects/{ASKED.id}").text


def test_somebody_new_is_told_how_to_begin(tmp_path: Path) -> None:
    """The sign-in of a program without accounts says who makes the first."""
    empty = PeopleLab(tmp_path)
    face = Face(Faces(empty.roster, (), TEMPLATES, secure=False), None)  # type: ignore[arg-type]  # nobody is there
    assert "people add NAME --role operator" in words_of(face.browser().get("/sign-in"))
    face.close()
    empty.close()


def test_over_https_the_session_is_bound_to_this_host_and_to_https(lab: NodeLab, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "hospital")
    own = authority.issue("node")
    settings = PagesSettings(enabled=True, port=0, certificate=own.certificate, key=own.key)
    served = PagesServer(lab.face.people.roster, pages(lab.desk), TEMPLATES, settings, tmp_path)
    served.start()
    try:
        assert served.address.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(authority.root))
        with httpx.Client(base_url=served.address, verify=trusted, timeout=60) as browser:
            answer = send(lab, browser, "operator", next="/people")
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith("__Host-wardround-node-north=") and "Secure" in cookie
            assert browser.get("/people").status_code == 200
    finally:
        served.stop()
