"""What the gate says of pixels, on the way into the enclave: it waits, it is blackened, or it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from sqlalchemy import select
from tests.front_door import EVERYONE, FrontDoor, studies

from wardround.dicom.pixels_screening import Screener
from wardround.node.enclave.tables import EnclaveInstance
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance
from wardround.node.review.state import ReviewState
from wardround.node.review.tables import PixelReview


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path, screener=Screener())
    yield made
    made.close()


def doubtful(part10: bytes) -> bytes:
    """Bright but for one corner, and the header says that something is burned in."""
    ds = pydicom.dcmread(BytesIO(part10))
    ds.BurnedInAnnotation = "YES"
    pixels = np.full((ds.Rows, ds.Columns), 7, np.uint16)
    pixels[0, 0] = 0
    ds.PixelData = pixels.tobytes()
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


def decide(door: FrontDoor, state: ReviewState, boxes: list[list[int | None]]) -> None:
    """What the review's own action does once a person has decided."""
    with door.database.writing() as session:
        [review] = session.scalars(select(PixelReview))
        review.state, review.blackened = state.value, boxes
        instance = session.get_one(ReceivedInstance, review.instance_id)
        instance.state, instance.reason = State.RECEIVED.value, None


def stored(door: FrontDoor, original: bytes) -> bytes:
    with door.database.reading() as session:
        uids = {row.uid: row.digest for row in session.scalars(select(EnclaveInstance))}
    new = door.deidentify(doubtless(original)).sop_uid
    return door.objects.get(uids[new])


def doubtless(part10: bytes) -> bytes:
    ds = pydicom.dcmread(BytesIO(part10))
    ds.BurnedInAnnotation = "NO"
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


def test_what_is_uncertain_waits_in_quarantine_and_holds_nothing_up(door: FrontDoor) -> None:
    slices = list(studies()[0].slices)
    slices[1] = doubtful(slices[1])
    door.give(*slices)
    progress = door.tick()
    assert (progress.deidentified, progress.waiting, dict(progress.refused)) == (3, 1, {})
    assert len(door.quarantined()) == 1
    with door.database.reading() as session:
        [waits] = session.scalars(select(ReceivedInstance).where(ReceivedInstance.state == State.REVIEW.value))
        [asked] = session.scalars(select(PixelReview))
    assert waits.file is not None and asked.instance_id == waits.id
    assert door.tick().done == 0, "it never passes by itself"
    assert len(door.enclave.find(EVERYONE)) == 1, "the rest of the study is ready without it"


def test_what_a_person_passed_goes_on_and_what_they_blackened_is_black(door: FrontDoor) -> None:
    original = doubtful(studies()[0].slices[1])
    door.give(original)
    assert door.tick().waiting == 1
    decide(door, ReviewState.REDACTED, [[2, 3, 4, 5, None]])
    assert door.tick().deidentified == 1
    ds = pydicom.dcmread(BytesIO(stored(door, original)))
    pixels = ds.pixel_array
    assert not pixels[2:6, 3:8].any()
    assert (pixels == 7).sum() == 16 * 16 - 1 - 20, "nothing else changed"
    assert ds.BurnedInAnnotation == "NO"
    assert "113101" in {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}
    assert door.quarantined() == []


def test_an_approval_is_remembered_for_the_same_object(door: FrontDoor) -> None:
    original = doubtful(studies()[0].slices[1])
    door.give(original)
    door.tick()
    decide(door, ReviewState.APPROVED, [])
    assert door.tick().deidentified == 1
    assert (pydicom.dcmread(BytesIO(stored(door, original))).pixel_array == 7).sum() == 16 * 16 - 1


def test_boxes_that_are_no_boxes_refuse_the_object(door: FrontDoor) -> None:
    door.give(doubtful(studies()[0].slices[1]))
    door.tick()
    decide(door, ReviewState.REDACTED, [[500, 500, 4, 5, None]])
    assert dict(door.tick().refused) == {"deidentification-failed": 1}
