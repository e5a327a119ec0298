"""A radiologist takes a case, draws on it by pointer and by keys, is helped, saves; another one decides on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from sqlalchemy import select
from tests.browser.conftest import Seat
from tests.browser.test_pages_in_a_browser import AXE, NARROW, WIDE, faults_of
from tests.pages_lab import NodeLab

from wardround.node.annotate.tables import AnnotationLabel
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file
from wardround.node.audit import Audit
from wardround.node.enclave.tables import EnclaveLabel
from wardround.people.roles import Role
from wardround.ui import assets

if TYPE_CHECKING:
    from playwright.sync_api import Page

Sit = Callable[..., Seat]
DESK = {"width": 1000, "height": 700}
"""Where is drawn: a small picture, since no graphics card draws it here."""
PATIENCE = 300_000
"""Milliseconds: the processes that help and read are begun in the middle of it, beside whatever else runs."""
DRAWN = """() => document.querySelector(".viewer").viewer.then((viewer) => {
  const [columns, rows] = viewer.size, found = [];
  viewer.nv.drawBitmap.forEach((value, at) => value && found.push(
    viewer.of([at % columns, Math.floor(at / columns) % rows, Math.floor(at / columns / rows)])));
  return found;
})"""
"""What is drawn, as voxels of the file: column, row, slice."""


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    lab = NodeLab(tmp_path_factory.mktemp("drawing"))
    yield lab
    lab.close()


def settled(page: Page, steps: int) -> set[tuple[int, ...]]:
    """What is drawn once so many steps can be undone."""
    page.wait_for_selector(f'.drawing[data-steps="{steps}"]')
    return {tuple(voxel) for voxel in page.evaluate(DRAWN)}


def read_well(seat: Seat, name: str) -> list[str]:
    """A picture of the page at both widths, neither of which it exceeds; and what axe finds."""
    found: list[str] = faults_of(seat.page) if AXE.exists() else []
    for window in (NARROW, WIDE):
        seat.page.set_viewport_size(window)
        wider = seat.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, f"{seat.page.url} is {wider} px too wide at {window['width']}"
        seat.keep(f"node-{name}-{window['width']}")
    return found


def test_a_radiologist_draws_is_helped_undoes_and_saves_and_another_one_accepts(sit: Sit, hospital: NodeLab) -> None:
    if not assets.address("niivue.js"):
        pytest.skip("NiiVue isn't installed (make scripts)")
    seat = sit(hospital.face, Role.RADIOLOGIST.value, viewport=WIDE)
    seat.page.set_default_timeout(PATIENCE)
    page = seat.go("/annotation")
    found = read_well(seat, "annotation-before")
    page.set_viewport_size(DESK)
    page.get_by_label("Which").select_option("first")
    page.get_by_role("button", name="Give me a case").click()
    page.wait_for_selector(".drawing[data-ready]")
    case = page.url.removeprefix(hospital.face.url).removesuffix("/draw")

    # The pen, by pointer, on an axial slice; and by keys at the cross.
    stage = page.locator(".viewer-stage")
    stage.focus()
    page.keyboard.press("1")
    box: Any = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 60, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    by_pen = settled(page, 1)
    assert len(by_pen) > 1 and len({voxel[2] for voxel in by_pen}) == 1, "one slice, and more than a point"
    stage.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("m")
    by_keys = settled(page, 2)
    assert by_pen < by_keys and len({voxel[2] for voxel in by_keys}) == 2

    # A click inside: the node outlines, what was drawn by hand stays, and one step takes it back.
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("a")
    helped = settled(page, 3)
    assert by_keys < helped
    found += read_well(seat, "annotation-drawing")
    page.set_viewport_size(DESK)
    page.keyboard.press("u")
    assert settled(page, 2) == by_keys

    # A scribble isn't drawn: it is outlined from, and taken back with what came of it.
    page.keyboard.press("y")
    page.keyboard.press("m")
    scribbled = settled(page, 3)
    assert by_keys < scribbled
    page.keyboard.press("z")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("m")
    corrected = settled(page, 4)
    assert by_keys <= corrected != scribbled
    page.keyboard.press("u")
    page.keyboard.press("u")
    assert settled(page, 2) == by_keys
    page.get_by_role("button", name="Between slices").click()
    page.wait_for_selector('.drawing[data-steps="3"]')
    page.get_by_role("button", name="Eraser").click()
    stage.focus()
    page.keyboard.press("m")
    last = settled(page, 4)
    assert by_keys - last, "the eraser took what the pen had marked"

    other = sit(hospital.face, "all", viewport=WIDE)
    other.page.set_default_timeout(PATIENCE)
    other.go(f"{case}/draw")
    assert "radiologist has this case before them" in other.page.inner_text("main")

    page.get_by_label("Note").fill("the edge at the front is unclear")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/annotation?done=saved")
    assert "Your label is saved" in page.inner_text("main")
    with hospital.home.database.reading() as session:
        [label] = session.scalars(select(AnnotationLabel)).all()
        audited = {(row.actor, row.verb) for row in session.scalars(select(Audit))}
    kept = read_file(hospital.desk.annotation.labels.files.get(label.nifti), NIFTI_GZ).array
    assert {(int(x), int(y), int(z)) for z, y, x in np.argwhere(kept)} == last, "what was on the screen"
    assert (label.author, label.note) == ("person:radiologist", "the edge at the front is unclear")
    assert label.model and label.seconds is not None
    assert ("person:radiologist", "take-case") in audited and ("person:radiologist", "save-label") in audited

    other.go(case).get_by_role("button", name="Accept version 1").click()
    assert "it is the enclave's reference" in other.page.inner_text("main")
    other.page.wait_for_selector(".viewer-on canvas")
    found += read_well(other, "annotation-case")
    with hospital.home.database.reading() as session:
        accepted = session.scalars(select(EnclaveLabel.uid).where(EnclaveLabel.labelled_series_uid == label.series))
        uids = set(accepted)
        [row] = session.scalars(select(AnnotationLabel)).all()
    assert row.object_uid in uids and row.decided_by == "person:all"
    segmented = pydicom.dcmread(BytesIO(hospital.desk.annotation.labels.files.get(row.seg)), stop_before_pixels=True)
    assert segmented.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    for path, name in (("/annotation", "annotation-after"), ("/annotation/minutes", "annotation-minutes")):
        seat.go(path)
        found += read_well(seat, name)
    other.faults = [fault for fault in other.faults if "409" not in fault]  # of the case that somebody else has
    assert found == []
