"""The viewer in a browser: it draws, goes by keys, says what it shows, and leaves a picture where it can't run."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from tests.browser.conftest import Seat
from tests.browser.test_drawing_in_a_browser import DRAWN
from tests.browser.test_pages_in_a_browser import AXE, NARROW, WIDE, faults_of
from tests.images_lab import ORDERED, SHADOWED, ImagesLab

from wardround.dicom.segmentation_reading import read_segmentation
from wardround.dicom.volume import read_volume
from wardround.node.clinic.tables import WorklistAnswer
from wardround.ui import assets

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from playwright.sync_api import Page

Sit = Callable[..., Seat]
DESK = {"width": 1100, "height": 700}

PROMISED = """async () => {
    const element = document.querySelector(".viewer");
    const viewer = await element.viewer;
    let [moved, pressed] = [0, 0];
    element.addEventListener("viewer-moved", () => moved++);
    viewer.go([3, 5, 7]);
    viewer.key("j", "a key of the test", () => pressed++);
    element.querySelector(".viewer-stage").dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true }));
    const file = viewer.of([3, 5, 7]);
    return { moved, pressed, file, back: viewer.to(file), voxel: viewer.voxel(), size: viewer.size,
             listed: element.querySelector(".viewer-keys").textContent };
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagesLab]:
    if assets.asset("niivue.js") is None:
        pytest.skip("NiiVue isn't installed (make scripts)")
    lab = ImagesLab(tmp_path_factory.mktemp("images") / "home", slices=24, matrix=96)
    yield lab
    lab.close()


def drawn(page: Page) -> NDArray[np.uint8]:
    """What is on the screen where the images are."""
    page.wait_for_function("() => document.querySelector('.viewer')?.viewer?.then(() => true)")
    return np.asarray(Image.open(io.BytesIO(page.locator(".viewer-stage").screenshot())).convert("RGB"))


def amber(picture: NDArray[np.uint8]) -> float:
    """The share that has the colour of what is laid over the images."""
    red, green, blue = (picture[..., place].astype(int) for place in range(3))
    return float(((red - blue > 60) & (green - blue > 30)).mean())


def red(picture: NDArray[np.uint8]) -> float:
    """The share that has the colour of what is being drawn."""
    one, green, blue = (picture[..., place].astype(int) for place in range(3))
    return float(((one - green > 40) & (one - blue > 40)).mean())


def place(page: Page) -> str:
    return page.inner_text(".viewer-place").split(" · ")[0]


def test_a_study_of_the_enclave_is_drawn_and_goes_by_keys(sit: Sit, lab: ImagesLab) -> None:
    seat = sit(lab.face, "radiologist", viewport=DESK)
    study, series, _ = lab.labelled()
    page = seat.go("/enclave")
    page.get_by_label("Reference label").select_option("yes")
    page.get_by_role("button", name="Look", exact=True).click()
    page.locator(f'a[href="/enclave/{study}"]').click()
    page.wait_for_url(f"**/enclave/{study}")
    picture = drawn(page)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100, "nothing is drawn"
    assert amber(picture) > 0.002, "the label isn't laid over it"
    page.locator(".viewer-stage").focus()
    page.keyboard.press("1")
    before = place(page)
    page.keyboard.press("ArrowUp")
    assert before.startswith("Axial ") and int(place(page).split()[1]) == int(before.split()[1]) + 1
    page.keyboard.press("Home")
    assert place(page) == "Axial 1 of 24"
    page.keyboard.press("f")
    assert place(page) == before, "it goes back to the slice on which the label marks most"
    filled = amber(drawn(page))
    page.keyboard.press("i")
    assert 0 < amber(drawn(page)) < filled * 0.7, "an outline hides less"
    page.keyboard.press("o")
    assert amber(drawn(page)) < 0.0005 and not page.get_by_label("Drawn by a person").is_checked()
    level = page.get_by_label("Brightness").input_value()
    page.keyboard.press("b")
    assert float(page.get_by_label("Brightness").input_value()) < float(level), "a lower level is a brighter picture"
    page.get_by_role("button", name="3D").click()
    assert len(np.unique(drawn(page).reshape(-1, 3), axis=0)) > 100
    looked = {(verb, subject) for _, verb, subject in lab.audited("view-image", "view-label")}
    assert ("view-image", series) in looked


def test_the_right_of_the_patient_is_at_the_left_and_modules_take_hold_of_the_viewer(sit: Sit, lab: ImagesLab) -> None:
    """A click at the left of the axial picture is at the patient's right, in the words below it and in the file; and
    what `viewer.js` promises to other modules: indices of file and drawing, keys that the page lists, events."""
    seat = sit(lab.face, "radiologist", viewport=DESK)
    study, _, _ = lab.labelled()
    page = seat.go(f"/enclave/{study}")
    drawn(page)
    page.locator(".viewer-stage").focus()
    page.keyboard.press("1")
    box = page.locator(".viewer-stage").bounding_box()
    assert box is not None
    sides = []
    for share in (0.35, 0.65):
        page.mouse.click(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
        told = page.inner_text(".viewer-place")
        column = page.evaluate("document.querySelector('.viewer').viewer.then(viewer => viewer.voxel()[0])")
        sides.append((" right," in told, " left," in told, column))
    (first_right, _, first), (_, second_left, second) = sides
    assert first_right and second_left and first < second, "columns of an axial image run from right to left"
    told = page.evaluate(PROMISED)
    assert told["moved"] >= 1 and told["pressed"] == 1 and "a key of the test" in told["listed"]
    assert told["back"] == [3, 5, 7] and told["voxel"] == told["file"]
    columns, rows, slices = told["size"]
    assert told["file"] == [columns - 1 - 3, rows - 1 - 5, 7] and slices == 24


def test_readers_see_a_study_and_examiners_what_a_model_in_shadow_use_outlined(sit: Sit, lab: ImagesLab) -> None:
    address = f"/worklist/{lab.study}?pathway={SHADOWED}"
    page = sit(lab.face, "radiologist", viewport=DESK).go(address)
    assert page.locator(".viewer").count() == 0 and "before somebody opens the study" in page.inner_text("main")
    page.get_by_role("button", name="Open the study").click()
    assert amber(drawn(page)) < 0.0005
    examiner = sit(lab.face, "pathway-lead", viewport=DESK).go(address)
    assert amber(drawn(examiner)) > 0.002
    assert "not for diagnostic use" in examiner.inner_text("main") and "6.3 ml" in examiner.inner_text("main")


def test_a_flagged_study_is_opened_looked_at_and_judged(sit: Sit, lab: ImagesLab) -> None:
    seat = sit(lab.face, "radiologist", viewport=DESK)
    page = seat.go(f"/worklist/{lab.study}?pathway={ORDERED}")
    assert "moved up: flagged by a model" in page.inner_text("main")
    page.get_by_role("button", name="Open the study").click()
    assert amber(drawn(page)) > 0.002
    seat.keep("node-worklist-judged-1920")
    page.get_by_label("If not: why").fill("too-large")
    page.get_by_role("button", name="Correct it").click()
    told = page.inner_text("main")
    assert "Your judgement is on record" in told and "corrected the model (too-large)" in told


def test_a_models_outline_is_corrected_with_the_tools_of_annotation(sit: Sit, lab: ImagesLab) -> None:
    seat = sit(lab.face, "radiologist", viewport=DESK)
    page = seat.go(f"/worklist/{lab.study}?pathway={ORDERED}")
    if page.get_by_role("button", name="Open the study").count():
        page.get_by_role("button", name="Open the study").click()
    page.get_by_role("link", name="Correct the outline by drawing").click()
    page.wait_for_selector(".drawing[data-ready]")
    assert red(drawn(page)) > 0.002, "it begins with the model's outline"
    page.get_by_role("button", name="Eraser").click()
    page.locator(".viewer-stage").focus()
    page.keyboard.press("f")
    page.keyboard.press("m")
    page.wait_for_selector('.drawing[data-steps="1"]')
    found = faults_of(page) if AXE.exists() else []
    for window in (NARROW, WIDE):
        page.set_viewport_size(window)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        seat.keep(f"node-worklist-correct-{window['width']}")
    page.get_by_label("Why, as a code").fill("too-large")
    page.get_by_role("button", name="Save as your correction").click()
    page.wait_for_url("**done=judged")
    told = page.inner_text("main")
    assert "Your judgement is on record" in told and "corrected the model" in told
    assert found == []


@pytest.mark.parametrize("kind", ["no-scripts", "no-webgl"])
def test_without_scripts_or_webgl_there_is_a_picture_and_a_sentence(sit: Sit, lab: ImagesLab, kind: str) -> None:
    study, series, _ = lab.labelled()
    seat = sit(lab.face, "radiologist", viewport=WIDE, java_script_enabled=kind != "no-scripts")
    seat.context.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page = seat.go(f"/enclave/{study}")
    picture = page.locator(".viewer img")
    picture.wait_for()
    assert (picture.get_attribute("src") or "").endswith(f"{series}/middle.png")
    shown = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB"))
    assert amber(shown) > 0.002
    assert page.get_by_role("link", name="the volume").is_visible()
    told = page.inner_text(".viewer")
    assert "takes scripts and WebGL 2" in told and ("WebGL 2 is missing" in told) == (kind == "no-webgl")


@pytest.mark.parametrize("look", ["light", "dark"])
def test_pages_with_images_read_well_narrow_and_wide(sit: Sit, lab: ImagesLab, look: str) -> None:
    seat = sit(lab.face, "radiologist", viewport=DESK)
    seat.page.get_by_role("button", name=look.title()).click()
    study, _, _ = lab.labelled()
    found: list[str] = []
    pages = {"enclave-study": f"/enclave/{study}"}
    if look == "light":
        pages |= {"enclave": "/enclave", "worklist-study": f"/worklist/{lab.study}?pathway={ORDERED}"}
    for name, path in pages.items():
        page = seat.go(path)
        if page.get_by_role("button", name="Open the study").count():
            page.get_by_role("button", name="Open the study").click()
        for window in (NARROW, WIDE):
            page.set_viewport_size(window)
            if name != "enclave":
                drawn(page)
            found += faults_of(page) if AXE.exists() else []
            wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wider <= 0, f"{page.url} is {wider} px too wide at {window['width']}"
            seat.keep(f"node-{name}-{look}-{window['width']}")
    assert found == []


def test_a_radiologist_corrects_a_models_outline_by_drawing_on_it(sit: Sit, lab: ImagesLab) -> None:
    seat = sit(lab.face, "radiologist", viewport=DESK)
    page = seat.page
    page.set_default_timeout(300_000)
    seat.go(f"/worklist/{lab.study}?pathway={ORDERED}")
    if page.get_by_role("button", name="Open the study").count():
        page.get_by_role("button", name="Open the study").click()
    page.get_by_role("link", name="Correct the outline by drawing").click()
    page.wait_for_selector(".drawing[data-ready]")
    sent = read_segmentation(lab.sent.segmentation, read_volume(lab.sent.slices))
    assert {tuple(voxel) for voxel in page.evaluate(DRAWN)} == {(x, y, z) for z, y, x in np.argwhere(sent).tolist()}
    found = faults_of(page) if AXE.exists() else []
    for window in (NARROW, WIDE, DESK):
        page.set_viewport_size(window)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        seat.keep(f"node-correcting-{window['width']}")
    page.locator(".viewer-stage").focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("m")
    page.wait_for_selector('.drawing[data-steps="1"]')
    last = {tuple(voxel) for voxel in page.evaluate(DRAWN)}
    page.get_by_label("Why, as a code").fill("missed-another")
    page.get_by_role("button", name="Save as your correction").click()
    page.wait_for_url("**done=judged*")
    assert "Your judgement is on record" in page.inner_text("main")
    assert "drew the outline, which overlaps the model's by" in page.inner_text("main")
    with lab.home.database.reading() as session:
        drawn_ones = select(WorklistAnswer).where(WorklistAnswer.outline.is_not(None))
        answer = session.scalars(drawn_ones.order_by(WorklistAnswer.id.desc())).first()
    assert answer is not None
    kept = read_segmentation(lab.home.path / "results" / str(answer.outline), read_volume(lab.sent.slices))
    assert {(x, y, z) for z, y, x in np.argwhere(kept).tolist()} == last, "what was on the screen"
    assert answer.reason == "missed-another" and answer.overlap is not None and 0 < answer.overlap < 1
    assert found == []
