"""What screening can't clear waits for a person, and goes the way that the person decides."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from sqlalchemy import select
from tests.front_door import FrontDoor, studies

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_screening import Screener
from wardround.dicom.pixels_text import TextReader
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node.audit import Audit
from wardround.node.receive.reception import Answer
from wardround.node.receive.tables import ReceivedInstance
from wardround.node.review import queries
from wardround.node.review.actions import Reviews
from wardround.node.review.state import ReviewState

ACTOR = "person:reviewer"
NO_READER = TextReader(program="no-such-program-here")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    door = FrontDoor(tmp_path, screener=Screener(reader=NO_READER))
    yield door
    door.close()


@pytest.fixture
def reviews(door: FrontDoor) -> Reviews:
    return Reviews(door.database, door.quarantine, clock=door.clock)


def marked(part10: bytes, **changed: object) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(part10))
    for keyword, value in changed.items():
        setattr(dataset, keyword, value)
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def suspicious() -> list[bytes]:
    """A study's slices, each of which says that something is burned in."""
    return [marked(part10, BurnedInAnnotation="YES") for part10 in studies()[0].slices]


def waiting(door: FrontDoor) -> list[queries.Review]:
    with door.database.reading() as session:
        return queries.reviews(session)


def states(door: FrontDoor) -> dict[str, int]:
    with door.database.reading() as session:
        found = list(session.scalars(select(ReceivedInstance.state)))
    return {state: found.count(state) for state in set(found)}


def audit(door: FrontDoor) -> list[tuple[str, str, str]]:
    with door.database.reading() as session:
        rows = session.scalars(select(Audit).where(Audit.actor == ACTOR).order_by(Audit.id))
        return [(row.verb, row.subject, row.detail) for row in rows]


def stored(door: FrontDoor) -> list[pydicom.Dataset]:
    files = (file for file in door.objects.root.rglob("*") if file.is_file() and len(file.name) == 64)
    return [pydicom.dcmread(file) for file in files]


def test_what_is_uncertain_waits_in_quarantine_and_nothing_passes_by_itself(door: FrontDoor) -> None:
    door.give(*suspicious())
    door.tick()
    door.tick()
    assert states(door) == {"review": 4}
    assert stored(door) == []
    assert len(door.quarantined()) == 4
    assert {line.reasons for line in waiting(door)} == {("burned-in-annotation", "text-reader-missing")}


def test_an_approved_image_goes_on_unchanged(door: FrontDoor, reviews: Reviews) -> None:
    [original] = suspicious()[:1]
    door.give(original)
    door.tick()
    decided = reviews.approve(waiting(door)[0].id, "no text in it", actor=ACTOR)
    assert len(decided.done) == 1
    door.tick()
    assert states(door) == {"deidentified": 1}
    [passed] = stored(door)
    assert passed.PixelData == pydicom.dcmread(io.BytesIO(original)).PixelData
    assert ("approve-pixels", f"review {decided.done[0]}", "no text in it") in audit(door)
    assert door.quarantined() == []


def test_a_redacted_image_loses_its_boxes_and_nothing_else(door: FrontDoor, reviews: Reviews) -> None:
    [original] = suspicious()[:1]
    door.give(original)
    door.tick()
    reviews.redact(waiting(door)[0].id, [Box(4, 5, 6, 7)], "a name at the left", actor=ACTOR)
    door.tick()
    [passed] = stored(door)
    before, after = pydicom.dcmread(io.BytesIO(original)).pixel_array, passed.pixel_array
    inside = np.zeros(before.shape, bool)
    inside[4:10, 5:12] = True
    assert set(after[inside]) == {before.min()}
    assert (after[~inside] == before[~inside]).all()
    assert passed.BurnedInAnnotation == "NO"
    assert "113101" in {item.CodeValue for item in passed.DeidentificationMethodCodeSequence}


def test_a_refused_image_stays_out_and_is_not_asked_about_again(door: FrontDoor, reviews: Reviews) -> None:
    [original] = suspicious()[:1]
    door.give(original)
    door.tick()
    reviews.refuse(waiting(door)[0].id, "a form with a name", actor=ACTOR)
    assert door.give(original) == [Answer.STORED]
    door.tick()
    assert states(door) == {"refused": 1}
    assert waiting(door) == []
    assert stored(door) == []


def test_a_decision_is_remembered_for_an_object_that_is_lost_and_sent_again(door: FrontDoor, reviews: Reviews) -> None:
    [original] = suspicious()[:1]
    door.give(original)
    door.tick()
    [lost] = door.quarantined()
    lost.unlink()
    reviews.approve(waiting(door)[0].id, "clean", actor=ACTOR)
    door.give(original)
    door.tick()
    assert states(door) == {"deidentified": 1}


def test_what_a_person_refused_is_refused_when_it_is_lost_and_sent_again(door: FrontDoor, reviews: Reviews) -> None:
    [original] = suspicious()[:1]
    door.give(original)
    door.tick()
    reviews.refuse(waiting(door)[0].id, "a form", actor=ACTOR)
    [lost] = door.quarantined()
    lost.unlink()
    assert door.give(original) == [Answer.STORED]
    door.tick()
    assert states(door) == {"refused": 1}
    assert waiting(door) == []


def test_a_series_is_decided_at_once_but_for_those_that_name_the_patient(door: FrontDoor, reviews: Reviews) -> None:
    door.give(*suspicious(), *(marked(part10, BurnedInAnnotation="YES") for part10 in studies()[1].slices))
    door.tick()
    first, second, *_ = (line for line in waiting(door) if line.series == waiting(door)[0].series)
    with door.database.writing() as session:
        queries.row_of(session, second.id).reasons = ["identifier-in-pixels", "text-in-pixels"]
    decided = reviews.approve(first.id, "the whole series is clean", actor=ACTOR, series=True)
    assert decided.left == {second.id: "identifier-in-pixels"}
    assert len(decided.done) == 3
    assert states(door) == {"received": 3, "review": 5}
    refused = reviews.refuse(second.id, "it names the patient", actor=ACTOR, series=True)
    assert refused.done == (second.id,)


def test_a_decision_stands(door: FrontDoor, reviews: Reviews) -> None:
    door.give(suspicious()[0])
    door.tick()
    number = waiting(door)[0].id
    reviews.refuse(number, "no", actor=ACTOR)
    with pytest.raises(NotAllowed, match="decided already"):
        reviews.approve(number, "yes after all", actor=ACTOR)
    with pytest.raises(NotFound):
        reviews.approve(number + 1, "another", actor=ACTOR)


def test_a_decision_needs_a_reason_and_boxes_within_the_image(door: FrontDoor, reviews: Reviews) -> None:
    door.give(suspicious()[0])
    door.tick()
    number = waiting(door)[0].id
    with pytest.raises(NotAllowed, match="reason"):
        reviews.approve(number, "  ", actor=ACTOR)
    with pytest.raises(NotAllowed, match="outside"):
        reviews.redact(number, [Box(16, 0, 1, 1)], "beyond", actor=ACTOR)
    with pytest.raises(NotAllowed, match="--box"):
        reviews.redact(number, [], "nothing was found to blacken", actor=ACTOR)
    assert waiting(door)[0].state is ReviewState.WAITING
    assert [verb for verb, _, _ in audit(door)] == []


def test_looking_is_audited_and_shows_the_original(door: FrontDoor, reviews: Reviews) -> None:
    door.give(suspicious()[0])
    door.tick()
    number = waiting(door)[0].id
    picture = Image.open(io.BytesIO(reviews.look(number, actor=ACTOR)))
    assert picture.size == (16, 16)
    named = reviews.identity(number, actor=ACTOR)
    assert named["PatientID"] == pydicom.dcmread(io.BytesIO(suspicious()[0])).PatientID
    assert [verb for verb, _, _ in audit(door)] == ["look-at-pixels", "look-at-identity"]
    with pytest.raises(NotFound, match="frames"):
        reviews.look(number, frame=2, actor=ACTOR)


def test_nothing_in_the_queue_or_the_audit_names_the_patient(door: FrontDoor, reviews: Reviews) -> None:
    originals = suspicious()
    door.give(*originals)
    door.tick()
    reviews.approve(waiting(door)[0].id, "clean", actor=ACTOR, series=True)
    header = pydicom.dcmread(io.BytesIO(originals[0]))
    with door.database.reading() as session:
        told = repr(queries.reviews(session, state=None)) + repr(audit(door))
    for secret in (
        header.PatientID,
        str(header.PatientName).split("^")[0],
        header.AccessionNumber,
        header.StudyInstanceUID,
    ):
        assert secret not in told
