"""Each person's main task from sign-in to result, on a federation that `wardround demo --serve` left up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from tests.browser.conftest import Seat
from tests.browser.test_pages_in_a_browser import NARROW, WIDE
from tests.functional.small_demo import Served, served

from wardround.foundation.clock import now
from wardround.people import totp
from wardround.people.roles import ROLES_AT, Program, Role
from wardround.ui import assets

if TYPE_CHECKING:
    from playwright.sync_api import Page

CLINIC, OTHER = "northgate", "st-olave"
DESK = {"width": 1000, "height": 700}
"""Where images are looked at: a small picture, since no graphics card draws it here."""
PATIENCE = 60_000
"""Milliseconds in which what goes from hospital to hub, or back, has arrived on a busy machine too."""

Sit = Callable[..., Seat]


@pytest.fixture(scope="module")
def demo(chromium: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if assets.asset("niivue.js") is None:
        pytest.skip("NiiVue isn't installed (make scripts)")
    with served(tmp_path_factory.mktemp("demo") / "scratch", "--hospitals", "2", "--rounds", "1", "--small") as found:
        yield found


@pytest.fixture
def sit_at(demo: Served, take_seat: Sit) -> Sit:
    """Signs one of the demonstration's people in, with what the command printed."""

    def at(where: str, role: Role, window: dict[str, int] = WIDE) -> Seat:
        name = where if where == "hub" else f"hospital {where}"
        return take_seat(demo.pages[name], role.value, demo.password, viewport=window)

    return at


def kept(seat: Seat, name: str) -> list[str]:
    """A picture of the page at both widths; gives those that it is wider than. Axe looks at the same templates in
    `test_pages_in_a_browser.py`."""
    found = []
    before = seat.page.viewport_size
    for window in (NARROW, WIDE):
        seat.page.set_viewport_size(window)
        wider = seat.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wider > 0:
            found.append(f"{seat.page.url} is {wider} px too wide at {window['width']}")
        seat.keep(f"demo-{name}-{window['width']}")
    seat.page.set_viewport_size(before)
    return found


def drawn(page: Page) -> Page:
    """The page once its viewer shows images."""
    page.wait_for_function("() => document.querySelector('.viewer')?.viewer?.then(() => true)")
    return page


def until(seat: Seat, path: str, text: str) -> Page:
    """Look at a page again and again until it says so, as who waits for another program does."""
    deadline = now().timestamp() + PATIENCE / 1000
    while text not in seat.go(path).inner_text("main"):
        assert now().timestamp() < deadline, f"{path} never said {text!r}"
    return seat.page


def test_whoever_the_command_names_has_an_account_and_a_first_page(demo: Served, sit_at: Sit) -> None:
    assert set(demo.pages) == {"hub", f"hospital {CLINIC}", f"hospital {OTHER}"}
    assert set(demo.people["the hub"]) == {role.value for role in ROLES_AT[Program.HUB]}
    assert set(demo.people["each hospital"]) == {role.value for role in ROLES_AT[Program.NODE]}
    operator = sit_at("hub", Role.OPERATOR)
    assert f"{CLINIC}\tmember, there" in operator.page.inner_text("main")
    found = kept(operator, "hub-federation")
    engineer = sit_at(CLINIC, Role.ENGINEER)
    assert "6 patients" in engineer.page.inner_text("main")
    found += kept(engineer, "node-today")
    lead = sit_at(CLINIC, Role.PATHWAY_LEAD)
    assert "People" not in lead.page.inner_text("nav")
    assert found == []


def test_a_researcher_reads_a_finished_run_and_the_browser_proves_what_it_rests_on(sit_at: Sit) -> None:
    seat = sit_at("hub", Role.RESEARCHER)
    page = seat.go("/runs")
    page.get_by_role("link", name="glioma-flair-1").first.click()
    told = page.inner_text("main")
    assert "finished" in told and CLINIC in told and OTHER in told
    assert page.locator("main svg").count(), "there are curves"
    found = kept(seat, "hub-run")
    seat.go("/models").get_by_role("link", name="brain-mri-glioma").first.click()
    assert page.get_by_role("row", name=f"{CLINIC} shadow").is_visible(), "where it is in use"
    page.get_by_text("As wardround model card prints it").click()
    assert "glioma" in page.locator(".card-text").inner_text()
    found += kept(seat, "hub-model")
    page.get_by_role("link", name="entry ").last.click()
    assert "A model was registered" in page.inner_text("main")
    page.get_by_role("link", name="Check it in this browser").click()
    page.get_by_label("A file that ends in .tlog-proof").wait_for()
    page.get_by_role("button", name="Check it").click()
    page.get_by_role("heading", name="Proven, by what this browser checked itself").wait_for()
    assert f"{CLINIC}, {OTHER}" in page.locator("[data-proof-found]").inner_text(), "both hospitals cosigned it"
    found += kept(seat, "hub-proof")
    assert found == []


def test_a_project_goes_from_a_draft_to_a_hospitals_approval_with_limits(sit_at: Sit) -> None:
    seat = sit_at("hub", Role.RESEARCHER)
    page = seat.go("/projects")
    page.get_by_role("link", name="Draft a project").click()
    page.get_by_label("Short name").fill("oedema")
    page.get_by_label("What the model shall do, in one line").fill("Outlining oedema around gliomas")
    page.get_by_label("Why, for a data controller to read").fill("To plan radiotherapy sooner")
    page.get_by_label("Modality").fill("MR")
    page.get_by_label("Its training setting").fill("phantoms")
    found = kept(seat, "hub-draft")
    page.get_by_role("button", name="Keep the draft").click()
    page.get_by_role("button", name="Ask every hospital how many people it finds").click()
    page.get_by_text("2 of 2 hospitals").wait_for(timeout=PATIENCE)
    found += kept(seat, "hub-counted")
    page.get_by_role("button", name="Submit it to every hospital").click()
    assert "It is before each hospital's data controller now" in page.inner_text("main")

    controller = sit_at(CLINIC, Role.DATA_CONTROLLER)
    until(controller, "/projects", "oedema").get_by_role("link", name="Outlining oedema around gliomas").click()
    decides = controller.page
    told = decides.inner_text("main")
    assert "To plan radiotherapy sooner" in told and "6 people" in told
    decides.get_by_text("With limits").click()
    decides.get_by_label("Runs at most").fill("1")
    found += kept(controller, "node-decides")
    decides.get_by_role("button", name="Approve this edition").click()
    decides.get_by_text("Approved: 6 people").wait_for()
    told = controller.go("/left").inner_text("main")
    assert "run-update" in told and "MB" in told
    found += kept(controller, "node-left")
    told = until(seat, "/projects/oedema", "approved").inner_text("main")
    assert CLINIC in told and "nothing yet" in told, "one has decided, the other hasn't"
    assert found == []


def test_a_radiologist_draws_on_a_case_and_saves_it(sit_at: Sit) -> None:
    seat = sit_at(OTHER, Role.RADIOLOGIST, DESK)
    page = seat.go("/annotation")
    found = kept(seat, "node-annotation")
    page.get_by_role("button", name="Give me a case").click()
    page.wait_for_selector(".drawing[data-ready]")
    stage = page.locator(".viewer-stage")
    stage.focus()
    page.keyboard.press("1")
    box: Any = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 60, box["y"] + box["height"] / 2 + 20, steps=4)
    page.mouse.up()
    page.wait_for_selector('.drawing[data-steps="1"]')
    found += kept(seat, "node-drawing")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/annotation?done=saved")
    assert "Your label is saved" in page.inner_text("main")
    assert found == []


def test_a_new_study_is_read_the_model_is_examined_and_taken_out_of_use(sit_at: Sit) -> None:
    """In shadow use whoever reads isn't told what the model found; whoever is answerable for it sees its outline."""
    seat = sit_at(CLINIC, Role.RADIOLOGIST, DESK)
    page = seat.go("/worklist")
    found = kept(seat, "node-worklist")
    page.locator('main a[href^="/worklist/"]').click()
    page.get_by_role("button", name="Open the study").click()
    drawn(page)
    assert "The model's outline" not in page.inner_text("main")
    found += kept(seat, "node-reads")
    page.get_by_role("button", name="It is there").click()
    page.get_by_text("Your reading is on record").wait_for()

    officer = sit_at(CLINIC, Role.SAFETY_OFFICER, DESK)
    examines = officer.go("/worklist")
    examines.get_by_role("link", name="With those that were judged").click()
    examines.locator('main a[href^="/worklist/"]').click()
    drawn(examines)
    assert examines.get_by_label("The model's outline").is_checked()
    assert "not for diagnostic use" in examines.inner_text("main")
    found += kept(officer, "node-examined")
    told = officer.go("/models").inner_text("main")
    assert "What it takes:" in told and "pathway-lead has to agree" in told, "what is missing for the next stage"
    found += kept(officer, "node-models")
    examines.get_by_text("Take it out of use").click()
    examines.get_by_label("Reason, as a code").fill("drift")
    examines.get_by_role("button", name="Suspend brain-mri-glioma now").click()
    assert "The model is out of use, at once" in examines.inner_text("main")
    found += kept(officer, "node-suspended")
    assert found == []


def test_an_operator_takes_somebody_on_who_signs_in_with_a_telephone(demo: Served, sit_at: Sit, take_seat: Sit) -> None:
    seat = sit_at(OTHER, Role.OPERATOR)
    page = seat.go("/people")
    page.get_by_label("Name", exact=True).fill("b-reader")
    page.get_by_label("Full name").fill("B. Reader")
    page.get_by_role("checkbox", name=Role.RADIOLOGIST.value).check()
    page.get_by_role("button", name="Make it, and show the code to enrol with").click()
    code = page.locator(".note code").inner_text()
    found = kept(seat, "node-people")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Enrol").click()
    page.get_by_label("Name", exact=True).fill("b-reader")
    page.get_by_label("Enrolment code").fill(code)
    page.get_by_role("button", name="Go on").click()
    secret = page.locator(".gate code").inner_text()
    page.get_by_label("The code that it shows now").fill(totp.code_of(secret, totp.step_at(now())))
    page.get_by_label("New password").fill(demo.password)
    page.get_by_label("The same again").fill(demo.password)
    page.get_by_role("button", name="Enrol").click()
    page.get_by_role("heading", name="b-reader is enrolled").wait_for()
    # A code is good once: this is the one that their telephone shows next.
    following = totp.code_of(secret, totp.step_at(now()) + 1)
    colleague = take_seat(demo.pages[f"hospital {OTHER}"], "b-reader", demo.password, following, viewport=WIDE)
    assert "Worklist" in colleague.page.inner_text("nav")
    assert found == []
