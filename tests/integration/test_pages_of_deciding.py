"""A cohort that takes long to count or to freeze: the page says how far it is, and it is given up there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.pages_lab import ASKED, NodeLab, form_of, send, words_of

from wardround.node.audit import Audit
from wardround.node.projects import approval
from wardround.node.projects.states import DecisionState

PAGE = f"/projects/{ASKED.id}"
LONG = 120.0


class Held:
    """A function that stands still until it is let on."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.begun, self.on = threading.Event(), threading.Event()
        self._function = function

    def __call__(self, *args: object) -> object:
        self.begun.set()
        assert self.on.wait(LONG)
        return self._function(*args)


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    lab = NodeLab(tmp_path_factory.mktemp("deciding"))
    yield lab
    lab.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, lab: NodeLab) -> Iterator[Held]:
    """Whatever looks for a cohort; let on at the latest at the end."""
    found = Held(approval.frozen_cases)
    monkeypatch.setattr(approval, "frozen_cases", found)
    yield found
    found.on.set()


def reads(browser: httpx.Client, path: str = f"{PAGE}?look=again") -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return words_of(answer)


def verbs(lab: NodeLab) -> list[str]:
    with lab.home.database.reading() as session:
        return list(session.scalars(select(Audit.verb).where(Audit.actor == "person:data-controller")))


def test_a_cohort_that_is_long_to_count_keeps_nobody_waiting(lab: NodeLab, held: Held) -> None:
    browser, lab.desk.freezing.quick = lab.face.browser("data-controller"), 0
    told = reads(browser, PAGE)
    assert "Being counted" in told and "said once the cohort is counted" in told and "Approve this edition" in told
    assert f'hx-get="{PAGE}?look=again"' in browser.get(PAGE).text
    assert send(browser, f"{PAGE}/uncount").headers["location"] == f"{PAGE}?look=again"
    assert "Nobody waits for the count any more" in reads(browser)
    held.on.set()
    assert lab.desk.freezing.count(ASKED.id, anew=False).over_within(LONG)
    assert "it was given up before it was done. Count them" in reads(browser)
    lab.desk.freezing.quick = LONG
    told = reads(browser, PAGE)
    assert "2 people" in told and "2 people" in reads(browser)
    assert "size-check no larger and no more often than was approved" in told, "what a step does is said in words"
    assert "run-update what a model learned here in a round" in told
    assert send(browser, f"{PAGE}/uncount").status_code == 404
    others = reads(lab.face.browser("engineer"), PAGE)
    assert "Shown to those who decide" in others and "a cohort of 2 people" not in others


def test_an_approval_under_way_says_how_far_it_is_and_is_given_up(lab: NodeLab, held: Held) -> None:
    browser, lab.desk.freezing.quick = lab.face.browser("data-controller"), 0
    page = browser.get("/account")
    sent = {"form": form_of(page), "digest": ASKED.content_digest()}
    assert browser.post(f"{PAGE}/approve", data=sent).headers["location"] == f"{PAGE}?look=again#deciding"
    assert held.begun.wait(LONG)
    told = reads(browser)
    assert "It is being approved" in told and "its cohort is looked for (step 1 of 3)" in told
    assert "Approve this edition" not in told and "It is being frozen" in told
    twice = browser.post(f"{PAGE}/approve", data=sent)
    assert twice.status_code == 409 and "under way already" in words_of(twice)
    assert send(browser, f"{PAGE}/give-up").status_code == 303
    assert "It was given up, and ends" in reads(browser)
    held.on.set()
    job = lab.desk.freezing.approving(ASKED.id)
    assert job is not None and job.over_within(LONG)
    assert approval.standing_now(lab.desk, ASKED.id).state is DecisionState.WAITING
    assert "wasn't given: it was given up before it was done" in reads(browser)
    assert "give-up-approval" in verbs(lab) and "approve-project" not in verbs(lab)

    lab.desk.freezing.quick = LONG
    assert browser.post(f"{PAGE}/approve", data=sent).headers["location"] == "/projects?done=approved&about=2"
    assert approval.standing_now(lab.desk, ASKED.id).state is DecisionState.APPROVED
    assert send(browser, f"{PAGE}/give-up").status_code == 404
    assert verbs(lab).count("give-up-approval") == 1, "what was given is never said to have been given up"
