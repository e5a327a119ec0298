"""What people do in a browser, from sign-in to result; and that every page reads well, wide and narrow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.browser.conftest import Seat
from tests.pages_lab import ASKED, FAILED, HubLab, NodeLab

from wardround.node.projects.approval import standing_now
from wardround.node.projects.states import DecisionState
from wardround.people.roles import Role
from wardround.ui import assets

Sit = Callable[..., Seat]
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1920, "height": 1080}
AXE = Path(assets.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def faults_of(page: Any) -> list[str]:
    """What axe finds against WCAG 2.2 AA, a line each."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    return [
        f"{page.url} {one['id']}: {json.dumps([node['html'][:120] for node in one['nodes']][:3])}"
        for one in found["violations"]
    ]


def test_a_data_controller_reads_limits_approves_and_takes_back(sit: Sit, node: NodeLab) -> None:
    """Without scripts, so that what is decided rests on plain HTML alone."""
    seat = sit(node.face, Role.DATA_CONTROLLER.value, viewport=WIDE, java_script_enabled=False)
    page = seat.page
    page.get_by_role("link", name=f"Project {ASKED.id} waits for this hospital's decision").click()
    assert "2 people" in page.inner_text("main") and ASKED.purpose in page.inner_text("main")
    assert ASKED.content_digest() in page.inner_text("main")
    page.get_by_text("With limits").click()
    page.get_by_label("Runs at most").fill("1")
    page.get_by_role("button", name="Approve this edition").click()
    assert "Approved: 2 people" in page.inner_text("main")
    found = standing_now(node.desk, ASKED.id)
    assert (found.state, found.terms.runs) == (DecisionState.APPROVED, 1)
    assert found.approval.decided_by == "person:data-controller"
    page.get_by_role("link", name=ASKED.title).click()
    page.get_by_label("Reason, as a code").fill("board-decided")
    page.get_by_role("button", name="Take it back").click()
    assert standing_now(node.desk, ASKED.id).state is DecisionState.WITHDRAWN
    page.get_by_role("link", name="Audit").click()
    told = page.inner_text("main")
    assert "approve-project" in told and "withdraw-project" in told and "person:data-controller" in told
    page.get_by_role("button", name="Sign out").click()
    assert page.url.endswith("/sign-in") and "Audit" not in page.inner_text("body")


def test_a_radiologist_reads_a_study_before_seeing_what_a_model_says(sit: Sit, node: NodeLab) -> None:
    seat = sit(node.face, Role.RADIOLOGIST.value, viewport=WIDE)
    page = seat.go("/worklist")
    page.get_by_role("link", name="020202020202").click()
    assert "ml" not in page.inner_text("main")
    page.get_by_role("button", name="Open the study").click()
    page.get_by_role("button", name="It is there").click()
    told = page.inner_text("main")
    assert "Its images aren't kept at this node any more" in told
    assert "Your reading is on record" in told and "radiologist said what they found: it is there" in told
    assert "lesion" not in told, "in shadow use nobody who reads is shown what the model found"


FILES = re.compile(r"\.(png|nii\.gz)$|/frames/|/proof$")
"""The addresses that answer with a file, for a page to show."""
EVERYWHERE = {
    "/ledger": "/ledger",
    "/ledger/check": "/ledger/check",
    "/people": "/people",
    "/audit": "/audit",
    "/account": "/account",
}
SHARED = {"/ledger/{index}"}
"""What both programs make of the same template, and is looked at at the hub, where there is a ledger."""
ANYBODYS = {"/sign-in": "/sign-in", "/enrol": "/enrol"}
LOOKED_AT: dict[str, dict[str, str]] = {
    "node": {
        "/today": "/today",
        "/projects": "/projects",
        "/projects/{project}": f"/projects/{ASKED.id}",
        "/left": "/left",
        "/pulls": "/pulls",
        "/pulls/{number}": "/pulls/1",
        "/enclave": "/enclave",
        "/review": "/review",
        "/review/{number}": "/review/1",
        "/worklist": "/worklist",
        "/models": "/models",
        "/models/failures/{plan}": f"/models/failures/{FAILED}",
        **EVERYWHERE,
    },
    "hub": {
        "/federation": "/federation",
        "/projects": "/projects",
        "/projects/{project}": f"/projects/{ASKED.id}",
        "/projects/{project}/edit": "/projects/stroke/edit",
        "/draft": "/draft",
        "/runs": "/runs",
        "/runs/{project}/{run}": "/runs/glioma/glioma-1",
        "/models": "/models",
        "/models/{project}/{model}": f"/models/glioma/{ASKED.plan.package_digest}",
        "/ledger/{index}": "/ledger/3",
        **EVERYWHERE,
    },
}
"""Each page of the tables, and where it is looked at."""
ELSEWHERE = {
    "/worklist/{study}": "test_viewer_in_a_browser.py",
    "/worklist/{study}/correct": "test_viewer_in_a_browser.py",
    "/enclave/{study}": "test_viewer_in_a_browser.py",
    "/annotation": "test_drawing_in_a_browser.py",
    "/annotation/minutes": "test_drawing_in_a_browser.py",
    "/annotation/cases/{series}": "test_drawing_in_a_browser.py",
    "/annotation/cases/{series}/draw": "test_drawing_in_a_browser.py",
}
"""The pages of which another test keeps the pictures, at the same widths."""
DARK = {"node": ("/today", "/review/{number}", "/models"), "hub": ("/federation", "/models/{project}/{model}")}


def named(program: str, route: str, look: str, width: int) -> str:
    """What a page's picture is called: the same from one build to the next."""
    return f"{program}{re.sub('[/-]+', '-', re.sub('[{}]', '', route))}-{look}-{width}"


def test_each_page_of_the_tables_is_looked_at(node: NodeLab, hub: HubLab) -> None:
    """So that none is added of which nobody has a picture at both widths."""
    for program, face in (("node", node.face), ("hub", hub.face)):
        routes = {page.path for page in face.faces.pages if page.method == "GET" and not FILES.search(page.path)}
        kept = {*LOOKED_AT[program], *ANYBODYS, *(ELSEWHERE.keys() & routes)}
        assert routes - {"/", *(SHARED if program == "node" else ())} == kept
    for file in ELSEWHERE.values():
        assert "NARROW, WIDE" in (Path(__file__).parent / file).read_text()


@pytest.mark.parametrize("look", ["light", "dark"])
def test_pages_read_well_narrow_and_wide(sit: Sit, node: NodeLab, hub: HubLab, look: str) -> None:
    """No page is wider than a telephone, and axe finds nothing against WCAG 2.2 AA; a picture of each is kept."""
    if not AXE.exists():
        pytest.skip("axe-core isn't installed (make scripts)")
    found: list[str] = []
    for program, face in (("node", node.face), ("hub", hub.face)):
        seat = sit(face, "all", viewport=WIDE)
        seat.page.get_by_role("button", name=look.title()).click()
        routes = LOOKED_AT[program] if look == "light" else {each: LOOKED_AT[program][each] for each in DARK[program]}
        for route, path in routes.items():
            # What both programs have is made of the same templates, which are looked through once.
            found += _looked_at(seat, program, route, path, look, axe=program == "node" or route not in EVERYWHERE)
        if look == "light":
            seat.page.get_by_role("button", name="Sign out").click()
            for route, path in ANYBODYS.items():
                found += _looked_at(seat, program, route, path, look, axe=program == "node")
    assert found == []


def _looked_at(seat: Seat, program: str, route: str, path: str, look: str, *, axe: bool) -> list[str]:
    page = seat.page
    answer = page.goto(seat.url + path)
    found = faults_of(page) if axe else []
    if answer is None or answer.status != 200:
        found.append(f"{page.url} isn't shown")
    for window in (NARROW, WIDE):
        page.set_viewport_size(window)
        wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wider > 0:
            found.append(f"{page.url} is {wider} px too wide at {window['width']}")
        seat.keep(named(program, route, look, window["width"]))
    return found
