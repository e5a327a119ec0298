"""Phantom patients: the same every time, whole, and each hospital's its own."""

import io
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import pytest

from wardround.demo.identities import Canaries
from wardround.demo.patients import DemoPatient, clinic_patient, mr_slices, to_dicom
from wardround.demo.phantoms import hospitals
from wardround.dicom.segmentation_reading import read_segmentation, referenced_series_uid
from wardround.dicom.volume import read_volume


@pytest.fixture(scope="module")
def patients() -> list[DemoPatient]:
    small = hospitals(8, patients=3, slices=8, matrix=48)
    return [hospital.patient(key) for hospital in small for key in hospital.keys]


def test_hospitals_are_asked_for_by_number() -> None:
    codes = [hospital.code for hospital in hospitals(8)]
    assert len(set(codes)) == 8 and all(re.fullmatch(r"[a-z][a-z0-9-]*", code) for code in codes)
    for number in (1, 9):
        with pytest.raises(ValueError, match="2 to 8"):
            hospitals(number)
    sizes = [len(hospital.keys) for hospital in hospitals(patients=5)]
    assert sizes == [6] * 4  # five for research, one for the clinic


def test_the_same_seed_gives_the_same_patient_and_another_seed_another() -> None:
    first, again, other = (
        hospitals(2, patients=3, slices=4, matrix=32, seed=seed)[1].patient("st-olave-002") for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert first.identity == again.identity
    assert mr_slices(first) == mr_slices(again)
    assert (first.image != other.image).any() and first.identity != other.identity


def test_a_patient_does_not_depend_on_how_many_others_there_are() -> None:
    few, many = (hospitals(count, patients=count, slices=4, matrix=32)[0] for count in (2, 5))
    np.testing.assert_array_equal(few.patient(few.keys[1]).image, many.patient(many.keys[1]).image)


def test_every_head_has_a_lesion_within_and_an_image_fit_for_twelve_bits(patients: list[DemoPatient]) -> None:
    for patient in patients:
        image, mask = patient.image, patient.mask
        assert image.shape == mask.shape == (8, 48, 48) and image.dtype == np.float32 and mask.dtype == np.bool_
        assert image.min() >= 0 and image.max() < 4096 and (image == np.rint(image)).all()
        assert 0.0005 < mask.mean() < 0.15
        border = np.ones_like(mask)
        border[:, 4:-4, 4:-4] = False
        assert not (mask & border).any()
        assert patient.identity.age is not None and 18 <= patient.identity.age < 90


def test_identities_are_distinct_and_agree_with_themselves(patients: list[DemoPatient]) -> None:
    identities = [patient.identity for patient in patients]
    for name in ("patient_id", "accession", "uid_root"):
        assert len({getattr(identity, name) for identity in identities}) == len(identities)
    assert len({identity.character_set for identity in identities}) > 3
    for who in identities:
        had_birthday = (who.study_date.month, who.study_date.day) >= (who.birth_date.month, who.birth_date.day)
        assert who.study_date.year - who.birth_date.year - (not had_birthday) == who.age
        digits = [int(digit) for digit in who.patient_id]
        assert who.patient_id.startswith("999") and len(digits) == 10
        assert sum(digit * weight for digit, weight in zip(digits, range(10, 0, -1), strict=True)) % 11 == 0


def test_a_study_goes_to_dicom_and_back(patients: list[DemoPatient]) -> None:
    patient = patients[5]
    study = to_dicom(patient)
    volume = read_volume(study.slices)
    np.testing.assert_array_equal(volume.array, patient.image)
    np.testing.assert_array_equal(read_segmentation(study.segmentation, volume), patient.mask)
    assert referenced_series_uid(study.segmentation) == volume.series_instance_uid
    names = {str(pydicom.dcmread(io.BytesIO(part10)).PatientName) for part10 in (*study.slices, study.segmentation)}
    assert names == {patient.identity.name}
    everything = b"".join([*study.slices, study.segmentation])
    assert patient.key.encode() not in everything


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian's dicom3tools) isn't installed")
def test_the_validator_finds_no_error_in_any_hospitals_slices(patients: list[DemoPatient], tmp_path: Path) -> None:
    file = tmp_path / "slice.dcm"
    for patient in patients:
        file.write_bytes(mr_slices(patient)[0])
        verdict = subprocess.run(["dciodvfy", "-new", file], capture_output=True, text=True, check=False)
        assert "Error" not in verdict.stderr and verdict.returncode == 0, verdict.stderr


def test_the_clinic_patient_is_one_of_the_hospitals_own_with_a_typical_lesion() -> None:
    hospital = hospitals(2, patients=9, slices=12, matrix=64)[0]
    volumes = [hospital.patient(key).mask.sum() for key in hospital.keys]
    held_back = clinic_patient(hospital)
    assert held_back.key == hospital.clinic_key and hospital.clinic_key in hospital.keys
    assert np.quantile(volumes, 0.1) < held_back.mask.sum() < np.quantile(volumes, 0.9)


def test_canaries_are_planted_in_every_object_and_found_in_any_case() -> None:
    canaries = Canaries()
    hospital = hospitals(2, patients=2, slices=3, matrix=32, canaries=canaries)[0]
    studies = [to_dicom(hospital.patient(key)) for key in hospital.keys]
    iso = canaries.birth_date.isoformat().encode()
    for study in studies:
        for part10 in study.slices:
            assert set(canaries.found_in(part10)) == set(canaries.values) - {iso}
        assert len(canaries.found_in(study.segmentation.lower())) > 5
    for part10 in (*studies[0].slices, studies[0].segmentation):
        for element in pydicom.dcmread(io.BytesIO(part10)).iterall():
            # The dimension organisation is highdicom's own; the rest but the standard's UIDs is the patient's.
            if element.VR == "UI" and element.keyword != "DimensionOrganizationUID":
                assert element.value.startswith((f"{canaries.uid_root}.", "1.2.840.10008.")), element
    ids = {pydicom.dcmread(io.BytesIO(study.slices[0])).PatientID for study in studies}
    assert len(ids) == len(studies)


def test_a_clean_text_holds_no_canary_and_neighbouring_digits_are_no_birth_date() -> None:
    canaries = Canaries(birth_date=date(1937, 11, 13))
    assert canaries.found_in(b"2.25.9193711135550 and 1.2.840.10008.1.2.1") == []
    assert canaries.found_in(b"born 1937-11-13") == [b"1937-11-13"]
    assert canaries.found_in(b'{"date":"19371113"}') == [b"19371113"]
