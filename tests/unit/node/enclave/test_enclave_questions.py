"""What may be asked of the enclave: who is counted, what a cohort holds, and whether its voxels are the right ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.front_door import EVERYONE, FrontDoor, edited, studies

from wardround.contracts.cohort_builder import imaging, patients
from wardround.demo.patients import DemoPatient
from wardround.demo.phantoms import hospitals
from wardround.dicom.segmentation import write_segmentation
from wardround.node.enclave.case import CaseUnusable


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def patient(number: int) -> DemoPatient:
    hospital = hospitals(2, patients=2, slices=4, matrix=16)[0]
    return hospital.patient(hospital.keys[number])


def person(number: int, *, sex: str, age: str, modality: str = "MR", body_part: str = "BRAIN") -> list[bytes]:
    """One patient with one series of one slice, unlike the phantoms in what a question asks for."""
    values = {
        "PatientID": f"P{number:04d}",
        "PatientSex": sex,
        "PatientAge": age,
        "Modality": modality,
        "BodyPartExamined": body_part,
        "StudyInstanceUID": f"1.2.3.{number}",
        "SeriesInstanceUID": f"1.2.3.{number}.1",
        "SOPInstanceUID": f"1.2.3.{number}.1.1",
    }
    return [edited(studies()[0].slices[0], **values)]


def test_each_condition_counts_the_people_who_meet_it(door: FrontDoor) -> None:
    door.give(*person(1, sex="F", age="040Y"))
    door.give(*person(2, sex="F", age="061Y", body_part="CHEST"))
    door.give(*person(3, sex="M", age="018M", modality="CT"))
    door.give(*person(4, sex="M", age="", modality="MR"))
    door.give_study(studies()[0])
    assert not door.tick().refused
    count = door.enclave.count
    assert count(EVERYONE) == 5
    phantom = patient(0).identity
    assert phantom.age is not None
    assert count(patients.of_sex("F").question()) == 2 + (phantom.sex == "F")
    assert count(patients.with_(imaging(modality="CT")).question()) == 1
    assert count(patients.with_(imaging(body_part="CHEST")).question()) == 1
    assert count(patients.with_(imaging(body_part="CHEST")).aged(61, 61).of_sex("F").question()) == 1
    assert count(patients.with_(imaging(body_part="CHEST")).aged(62, 130).of_sex("F").question()) == 0
    assert count(patients.with_(imaging()).aged(None, 1).question()) == 1
    assert count(patients.with_(imaging(has_label=True)).question()) == 1
    assert count(patients.with_(imaging(has_label=False)).question()) == 4
    assert count(patients.with_(imaging(has_label=True, modality="CT")).question()) == 0, (
        "conditions hold for the same series"
    )


def test_a_person_with_two_studies_is_counted_once(door: FrontDoor) -> None:
    first = studies()[0].slices
    door.give(*first)
    door.give(
        edited(first[0], StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1", SOPInstanceUID="1.2.9.1.1"),
    )
    door.tick()
    assert door.enclave.count(EVERYONE) == 1
    assert len(door.enclave.find(EVERYONE)) == 2


@pytest.mark.parametrize("label_first", [True, False])
def test_a_label_finds_its_series_whichever_came_first(door: FrontDoor, label_first: bool) -> None:
    study = studies()[0]
    parts: list[list[bytes]] = [[study.segmentation], study.slices]
    labelled = patients.with_(imaging(has_label=True)).question()
    for part in parts if label_first else reversed(parts):
        assert door.enclave.count(labelled) == 0
        door.give(*part)
        door.tick()
    assert door.enclave.count(labelled) == 1
    assert door.enclave.totals().unlinked_labels == 0
    [ref] = door.enclave.find(labelled)
    case = door.enclave.case(ref)
    assert case.label is not None
    np.testing.assert_array_equal(case.label, patient(0).mask)


def test_a_label_without_its_series_waits_and_is_counted(door: FrontDoor) -> None:
    door.give(studies()[0].segmentation)
    door.tick()
    totals = door.enclave.totals()
    assert (totals.series, totals.reference_labels, totals.unlinked_labels) == (0, 0, 1)
    assert door.enclave.find(EVERYONE) == ()


def test_what_an_algorithm_drew_is_no_reference(door: FrontDoor) -> None:
    study = studies()[0]
    drawn = write_segmentation(study.slices, patient(0).mask, model_name="m", model_version="1")
    door.give(*study.slices, drawn)
    assert not door.tick().refused
    assert door.enclave.count(patients.with_(imaging(has_label=True)).question()) == 0
    [ref] = door.enclave.find(EVERYONE)
    assert ref.label is None


def test_a_case_holds_the_voxels_that_were_sent(door: FrontDoor) -> None:
    door.give_study(studies()[0])
    door.tick()
    [ref] = door.enclave.find(patients.with_(imaging(has_label=True)).question())
    case = door.enclave.case(ref)
    truth = patient(0)
    assert case.image.dtype == np.float32
    np.testing.assert_array_equal(case.image, truth.image)
    assert case.spacing == pytest.approx(truth.spacing, abs=1e-3)
    again = door.enclave.case(ref)
    np.testing.assert_array_equal(again.image, case.image)
    np.testing.assert_array_equal(again.label, case.label)


def test_a_volume_is_made_once_and_made_anew_where_its_file_is_damaged(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.give_study(studies()[0])
    door.tick()
    [ref] = door.enclave.find(EVERYONE)
    case = door.enclave.case(ref)
    with monkeypatch.context() as patch:
        patch.setattr(door.objects, "get", None)
        assert door.enclave.case(ref).spacing == case.spacing, "no object is opened again"
    [kept] = (file for file in (door.home / "enclave" / "volumes").rglob("*") if file.is_file())
    kept.write_bytes(kept.read_bytes()[:-200])
    np.testing.assert_array_equal(door.enclave.case(ref).image, case.image)


def test_the_same_contents_give_the_same_manifest_in_any_order(tmp_path: Path) -> None:
    digests = set()
    for seed in range(3):
        home = tmp_path / str(seed)
        home.mkdir()
        door = FrontDoor(home)
        objects = [part10 for study in studies() for part10 in (*study.slices, study.segmentation)]
        random.Random(seed).shuffle(objects)  # noqa: S311 - an order, not a secret
        door.give(*objects)
        door.tick()
        manifest = door.enclave.manifest(EVERYONE)
        assert [case.pseudonym for case in manifest.cases] == sorted(case.pseudonym for case in manifest.cases)
        digests.add(manifest.content_digest())
        door.close()
    assert len(digests) == 1


def test_a_frozen_case_that_changed_is_noticed(door: FrontDoor) -> None:
    study = studies()[0]
    door.give(*study.slices[:3])
    door.tick()
    [seen] = door.enclave.find(EVERYONE)
    kept = door.enclave.case(seen).image
    unseen = seen.model_copy(update={"digest": "0" * 64})
    door.give(study.slices[3])
    door.tick()
    [now] = door.enclave.find(EVERYONE)
    assert now.digest != seen.digest
    assert door.enclave.case(now).image.shape[0] == 4
    np.testing.assert_array_equal(door.enclave.case(seen).image, kept)
    with pytest.raises(CaseUnusable) as refused:
        door.enclave.case(unseen)
    assert refused.value.code == "case-changed"


def test_a_series_that_is_no_volume_says_why_without_an_identifier(door: FrontDoor) -> None:
    slices = studies()[0].slices
    door.give(slices[0], slices[1], slices[3])
    door.tick()
    [ref] = door.enclave.find(EVERYONE)
    with pytest.raises(CaseUnusable) as refused:
        door.enclave.case(ref)
    assert refused.value.code == "missing-slices"
    assert ref.series not in str(refused.value)


@pytest.mark.parametrize(("damage", "code"), [("cut", "object-damaged"), ("gone", "object-missing")])
def test_an_object_that_was_lost_makes_its_case_unusable(door: FrontDoor, damage: str, code: str) -> None:
    door.give(*studies()[0].slices)
    door.tick()
    [ref] = door.enclave.find(EVERYONE)
    stored = next(file for file in door.objects.root.rglob("*") if file.is_file())
    if damage == "cut":
        stored.write_bytes(stored.read_bytes()[:-2])
    else:
        stored.unlink()
    with pytest.raises(CaseUnusable) as refused:
        door.enclave.case(ref)
    assert refused.value.code == code
