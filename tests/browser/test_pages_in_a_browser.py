"""What people do in a browser, from sign-in to result; and that every page reads well, wide and narrow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.browser.conftest import Seat
from tests.pages_lab import ASKED, HubLab, NodeLab

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
    assert "Your reading is on record" in told and "radiologist said what they found: it is there" in told
    assert "lesion" not in told, "in shadow use nobody who reads is shown what the model found"


STUDY = "/worklist/" + "03" * 16
OF_NODE = ["/today", "/projects", f"/projects/{ASKED.id}", "/left", "/worklist", STUDY, "/models", "/ledger", "/people"]
OF_NODE += ["/audit", "/account", "/nowhere"]
OF_HUB = ["/federation", "/projects", f"/projects/{ASKED.id}", "/runs", "/runs/glioma/glioma-1", "/models", "/ledger"]


@pytest.mark.parametrize(
    ("look", "of_node", "of_hub"),
    [("light", OF_NODE, OF_HUB), ("dark", ["/today", "/models", STUDY], ["/runs/glioma/glioma-1"])],
    ids=["light", "dark"],
)
def test_pages_read_well_narrow_and_wide(
    sit: Sit, node: NodeLab, hub: HubLab, look: str, of_node: list[str], of_hub: list[str]
) -> None:
    """No page is wider than a telephone, and axe finds nothing against WCAG 2.2 AA; a picture of each is kept."""
    if not AXE.exists():
        pytest.skip("axe-core isn't installed (make scripts)")
    found: list[str] = []
    for program, face, paths in (("node", node.face, of_node), ("hub", hub.face, of_hub)):
        seat = sit(face, "all", viewport=WIDE)
        seat.page.get_by_role("button", name=look.title()).click()
        for path in paths:
            page = seat.go(path)
            found += faults_of(page)
            for window in (NARROW, WIDE):
                page.set_viewport_size(window)
                wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert wider <= 0, f"{page.url} is {wider} px too wide at {window['width']}"
                seat.keep(f"{program}{path.replace('/', '-')[:24]}-{look}-{window['width']}")
        seat.faults = [fault for fault in seat.faults if "404" not in fault]  # of the page that isn't there
    assert found == []
