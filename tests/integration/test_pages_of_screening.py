"""Images whose pixels may name their patient, as a person sees and decides them on a page, by plain forms alone."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import pydicom
import pytest
from PIL import Image
from sqlalchemy import select
from tests.front_door import studies
from tests.pages_lab import NodeLab, send, words_of

from wardround.dicom.pixels_boxes import Box
from wardround.node.audit import Audit
from wardround.node.review import queries
from wardround.node.review.queries import Review


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    made = NodeLab(tmp_path_factory.mktemp("node"))
    made.doubt(4)
    yield made
    made.close()


@pytest.fixture
def browser(lab: NodeLab) -> httpx.Client:
    return lab.face.browser("radiologist")


def found(lab: NodeLab, number: int) -> Review:
    with lab.home.database.reading() as session:
        return queries.review(session, number)


def audit(lab: NodeLab) -> list[tuple[str, str]]:
    with lab.home.database.reading() as session:
        rows = session.scalars(select(Audit).where(Audit.subject.startswith("review ")).order_by(Audit.id))
        return [(row.verb, row.subject) for row in rows if row.actor == "person:radiologist"]


def test_nothing_says_whose_it_is_before_somebody_asks_and_each_look_is_noted(
    lab: NodeLab, browser: httpx.Client
) -> None:
    header = pydicom.dcmread(io.BytesIO(studies(3)[2].slices[0]))
    names = (header.PatientID, str(header.PatientName).split("^")[0], header.AccessionNumber)
    listed, page = browser.get("/review"), browser.get("/review/1")
    assert "4 wait for a person" in words_of(listed) and "burned-in-annotation" in words_of(page)
    assert not [name for name in names if name in listed.text + page.text]
    assert audit(lab) == [], "a list shows no picture"
    picture = browser.get("/review/1/frames/1")
    assert picture.headers["content-type"] == "image/png" and picture.headers["cache-control"] == "no-store"
    outlined, plain = (
        Image.open(io.BytesIO(browser.get(f"/review/1/frames/1{more}").content)) for more in ("", "/plain")
    )
    assert outlined.size == plain.size == (16, 16)
    assert outlined.getpixel((2, 1)) == (255, 160, 0) and plain.getpixel((2, 1)) != (255, 160, 0)
    told = send(browser, "/review/1/identity")
    assert all(name in told.text for name in names)
    assert audit(lab) == [("look-at-pixels", "review 1")] * 3 + [("look-at-identity", "review 1")]
    for where in ("/review/99", "/review/1/frames/2", "/review/1/frames/one", "/review/1?frame=0"):
        assert browser.get(where).status_code == 404, where


def test_what_was_found_stands_in_the_form_and_what_is_sent_is_blackened(lab: NodeLab, browser: httpx.Client) -> None:
    page = browser.get("/review/1").text
    for name, value in (("row-1", "2"), ("column-1", "3"), ("height-1", "4"), ("width-1", "9"), ("frame-1", "")):
        assert f'name="{name}" value="{value}"' in page
    for typed, says in (
        ({}, "say what to blacken"),
        ({"row-1": "2"}, "box 1"),
        ({"row-1": "2", "column-1": "x", "height-1": "1", "width-1": "1"}, "box 1"),
        ({"row-2": "0", "column-2": "0", "height-2": "0", "width-2": "1"}, "box 2"),
        ({"row-1": "90", "column-1": "0", "height-1": "2", "width-1": "2"}, "outside"),
        ({"row-1": "1", "column-1": "0", "height-1": "2", "width-1": "2", "reason": ""}, "needs a reason"),
    ):
        refused = send(browser, "/review/1/redact", **({"reason": "a name"} | typed))
        assert refused.status_code == 403 and says in words_of(refused), (typed, words_of(refused))
    assert found(lab, 1).state.value == "waiting"
    boxes = {"row-2": "0", "column-2": "1", "height-2": "3", "width-2": "12", "frame-2": "1"}
    moved = send(browser, "/review/1/redact", reason="a name on top", **boxes)
    assert moved.headers["location"] == "/review?done=redacted&count=1&left=0"
    decided = found(lab, 1)
    assert decided.blackened == (Box(0, 1, 3, 12, 1),) and decided.decided_by == "person:radiologist"
    again = send(browser, "/review/1/approve", reason="after all")
    assert again.status_code == 403 and "a decision stands" in words_of(again)


def test_a_series_is_decided_together_and_goes_on(lab: NodeLab, browser: httpx.Client) -> None:
    assert send(browser, "/review/2/refuse", reason="a form").status_code == 303
    moved = send(browser, "/review/3/approve", reason="nothing in it", series="yes")
    assert moved.headers["location"] == "/review?done=approved&count=2&left=0"
    lab.door.tick()
    assert "Nothing waits" in words_of(browser.get("/review"))
    assert "2 images were let pass as it is" in words_of(browser.get(moved.headers["location"]))
    assert "a form" in words_of(browser.get("/review/2")), "what was decided stays to be read"


def test_whoever_keeps_the_node_sees_no_picture(lab: NodeLab) -> None:
    engineer = lab.face.browser("engineer")
    for where in ("/review", "/review/1", "/review/1/frames/1", "/review/1/frames/1/plain"):
        assert engineer.get(where).status_code == 403
