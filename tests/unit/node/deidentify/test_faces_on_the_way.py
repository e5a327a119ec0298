"""Under a profile that removes faces: no face reaches the enclave, whenever its slices come and whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from sqlalchemy import select
from tests.front_door import EVERYONE, FrontDoor, edited
from tests.unit.dicom.test_pixels_defacing import MR, series

from wardround.dicom.confidentiality_profile import Option, Profile
from wardround.dicom.pixels_screening import Screener
from wardround.dicom.volume import read_volume
from wardround.node.enclave.tables import EnclaveInstance, EnclaveStudy
from wardround.node.receive.summary import intake_summary
from wardround.node.receive.tables import ReceivedInstance
from wardround.node.review.actions import Reviews
from wardround.node.review.tables import PixelReview

FACELESS = Profile(Profile.research().options | {Option.CLEAN_VISUAL_FEATURES}, name="faceless")
ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path, profile=FACELESS, screener=Screener(deface=True))
    yield made
    made.close()


def head(cut: slice = slice(None), **values: object) -> tuple[list[bytes], dict[str, np.ndarray]]:
    instances, parts = series("axial", sop_class=MR, cut=cut)
    told = {"PatientID": "4085761", "PatientName": "Vandersteen^Ottilie"} | values
    return [edited(part10, **told) for part10 in instances], parts


def stored(door: FrontDoor) -> list[bytes]:
    with door.database.reading() as session:
        return [door.objects.get(digest) for digest in session.scalars(select(EnclaveInstance.digest))]


def refused(door: FrontDoor) -> dict[str, int]:
    return dict(intake_summary(door.database).refused)


def test_a_head_waits_for_its_study_and_comes_in_without_its_face(door: FrontDoor) -> None:
    slices, parts = head()
    door.give(*slices)
    assert door.reception.settle(60)
    assert door.deidentification.tick().left == len(slices), "the study isn't complete"
    assert stored(door) == [] and len(door.quarantined()) == len(slices)
    progress = door.tick()
    assert (progress.deidentified, dict(progress.refused)) == (len(slices), {})
    before, after = read_volume(slices).array, read_volume(stored(door)).array
    assert (after[parts["nose"]] == before.min()).mean() > 0.99
    assert (after[parts["brain"]] == before[parts["brain"]]).mean() > 0.999
    assert door.quarantined() == [] and len(door.enclave.find(EVERYONE)) == 1
    with door.database.reading() as session:
        [[statement]] = session.scalars(select(EnclaveStudy.statements))
    assert "Clean Recognizable Visual Features Option" in statement["options"]
    for part10 in stored(door):
        ds = pydicom.dcmread(BytesIO(part10), stop_before_pixels=True)
        assert ds.RecognizableVisualFeatures == "NO"
        assert "113102" in {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}


def test_a_slice_that_comes_after_its_series_is_refused(door: FrontDoor) -> None:
    slices, _ = head()
    slices.sort(key=lambda one: float(pydicom.dcmread(BytesIO(one)).ImagePositionPatient[2]))
    door.give(*slices[1:])
    assert door.tick().deidentified == len(slices) - 1
    door.give(slices[0])
    assert dict(door.tick().refused) == {"face-late": 1}
    assert len(stored(door)) == len(slices) - 1


def test_a_series_that_was_refused_for_a_hole_is_done_once_the_hole_is_filled(door: FrontDoor) -> None:
    slices, _ = head()
    door.give(*slices[:20], *slices[21:])
    assert dict(door.tick().refused) == {"face-missing-slices": len(slices) - 1}
    assert stored(door) == []
    door.give(slices[20])
    assert door.tick().deidentified == len(slices)
    assert refused(door) == {} and door.quarantined() == []


def test_a_head_without_its_top_is_refused(door: FrontDoor) -> None:
    slices, _ = head(slice(0, 34))
    door.give(*slices)
    assert dict(door.tick().refused) == {"face-top-of-head-missing": len(slices)}


def test_a_series_that_may_be_no_head_waits_for_a_person_who_may_let_it_pass(door: FrontDoor) -> None:
    slices, _ = head(slice(0, 34), BodyPartExamined="")
    door.give(*slices)
    progress = door.tick()
    assert (progress.waiting, progress.deidentified) == (len(slices), 0)
    with door.database.reading() as session:
        asked = list(session.scalars(select(PixelReview)))
    assert {tuple(one.reasons) for one in asked} == {("face-unclear",)}
    reviews = Reviews(door.database, door.quarantine, clock=door.clock)
    decided = reviews.approve(asked[0].id, "a phantom", actor="person:x", series=True)
    assert len(decided.done) == len(slices)
    assert door.tick().deidentified == len(slices)
    assert "113102" not in {
        item.CodeValue
        for part10 in stored(door)
        for item in pydicom.dcmread(BytesIO(part10), stop_before_pixels=True).DeidentificationMethodCodeSequence
    }, "nothing was removed, so nothing is claimed"


def test_what_shows_no_face_is_not_changed_and_a_multi_frame_head_is_refused(door: FrontDoor) -> None:
    knees, _ = head(slice(0, 6), BodyPartExamined="KNEE")
    stack = edited(knees[0], SOPClassUID=ENHANCED, SOPInstanceUID="2.25.74", BodyPartExamined="BRAIN")
    door.give(*knees, stack)
    progress = door.tick()
    assert (progress.deidentified, dict(progress.refused)) == (len(knees), {"face-multi-frame": 1})
    assert (read_volume(stored(door)).array == read_volume(knees).array).all()


def test_slices_wait_with_the_one_of_their_series_that_a_person_must_see(door: FrontDoor) -> None:
    slices, _ = head()
    slices[7] = edited(slices[7], BurnedInAnnotation="YES")
    door.give(*slices)
    door.complete()
    progress = door.deidentification.tick()
    assert (progress.waiting, progress.left) == (1, len(slices) - 1)
    assert door.deidentification.tick().done == 0 and stored(door) == []
    with door.database.reading() as session:
        [number] = session.scalars(select(PixelReview.id))
    Reviews(door.database, door.quarantine, clock=door.clock).approve(number, "a ruler", actor="person:x")
    progress = door.tick()
    assert (progress.deidentified, dict(progress.refused)) == (len(slices), {})
    assert {pydicom.dcmread(BytesIO(one)).RecognizableVisualFeatures for one in stored(door)} == {"NO"}


def test_processes_do_series_too(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path, profile=FACELESS, screener=Screener(deface=True), workers=2)
    slices, _ = head()
    door.give(*slices)
    assert door.tick().deidentified == len(slices)
    with door.database.reading() as session:
        assert set(session.scalars(select(ReceivedInstance.state))) == {"deidentified"}
    door.close()
