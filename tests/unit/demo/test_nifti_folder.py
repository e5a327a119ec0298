"""Folders of NIfTI files as hospitals: any names, lazily, in the order of the file, or refused with the mend."""

import io
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.demo.links import write_link
from wardround.demo.nifti import DataRefused, read_hospitals, to_file_order
from wardround.demo.nifti_site_code import site_codes
from wardround.demo.patients import clinic_patient, to_dicom
from wardround.dicom.segmentation_reading import read_segmentation
from wardround.dicom.volume import read_volume

LGG = Path(__file__).resolve().parents[3].parent / "shared" / "datasets" / "lgg-mri"


def write(folder: Path, key: str, image: np.ndarray, mask: np.ndarray, affine: np.ndarray | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([1.5, 2.0, 4.0, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(image, affine), folder / f"{key}_flair.nii.gz")
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), affine), folder / f"{key}_tumour.nii.gz")


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    draws = np.random.default_rng(2)
    for site in ("Hôpital Nord", "B_2"):
        for number in range(3):
            image = draws.integers(0, 255, (20, 24, 5), dtype=np.uint8)
            mask = np.zeros(image.shape, bool)
            mask[3 : 6 + 2 * number, 4:9, 1:3] = True
            write(tmp_path / site, f"TCGA-{number}", image, mask)
    (tmp_path / "patients.csv").write_text("site,patient,age,gender_code\nB_2,TCGA-0,61,1\nB_2,TCGA-1,,2\n")
    return tmp_path


def test_a_patient_comes_back_from_dicom_in_the_order_of_the_file(collection: Path) -> None:
    turned = np.array([[0, -2.0, 0, 9], [1.5, 0, 0, 3], [0, 0, -4.0, 7], [0, 0, 0, 1]])
    image = np.arange(20 * 24 * 5, dtype=np.int16).reshape(20, 24, 5)
    write(collection / "B_2", "turned", image, image % 7 == 0, turned)
    hospital = next(hospital for hospital in read_hospitals(collection) if hospital.code == "b-2")
    patient = hospital.patient("turned")
    study = to_dicom(patient)
    volume = read_volume(study.slices[::-1])
    mask = read_segmentation(study.segmentation, volume)
    np.testing.assert_array_equal(to_file_order(volume.array), image)
    np.testing.assert_array_equal(to_file_order(mask), image % 7 == 0)
    assert volume.spacing == pytest.approx((4.0, 2.0, 1.5))


def test_a_link_file_says_who_each_patient_is_in_dicom(collection: Path) -> None:
    hospital = read_hospitals(collection)[0]
    write_link(hospital, collection / "link.csv")
    header, *lines = (collection / "link.csv").read_text().splitlines()
    assert header == "number,patient_id,issuer"
    for key, line in zip(hospital.keys, lines, strict=True):
        image = pydicom.dcmread(io.BytesIO(to_dicom(hospital.patient(key)).slices[0]), stop_before_pixels=True)
        assert line == f"{key},{image.PatientID},{image.IssuerOfPatientID}"
    assert (collection / "link.csv").stat().st_mode & 0o077 == 0


def test_what_the_table_says_is_used_and_what_it_does_not_say_is_unknown(collection: Path) -> None:
    first, second = read_hospitals(collection)
    assert (first.code, second.code) == ("b-2", "hopital-nord")
    known = [(first.patient(key).identity.sex, first.patient(key).identity.age) for key in first.keys]
    assert known == [("F", 61), ("M", None), ("", None)]
    assert second.patient("TCGA-0").identity.age is None
    unknown = pydicom.dcmread(io.BytesIO(to_dicom(second.patient("TCGA-0")).slices[0]))
    assert unknown.PatientSex == "" and "PatientAge" not in unknown
    assert unknown.InstitutionName == second.name == "Hôpital Nord Hospital"
    (collection / "patients.csv").unlink()
    assert {hospital.patient("TCGA-0").identity.sex for hospital in read_hospitals(collection)} == {""}


def test_the_source_names_nobody_in_the_dicom(collection: Path) -> None:
    study = to_dicom(read_hospitals(collection)[0].patient("TCGA-1"))
    assert all(b"TCGA" not in part10 for part10 in (*study.slices, study.segmentation))


def test_the_clinic_patient_has_the_lesion_of_median_size_each_time(collection: Path) -> None:
    for hospital in read_hospitals(collection):
        assert clinic_patient(hospital).key == hospital.clinic_key == "TCGA-1"


def test_fractions_and_negative_values_are_spread_over_twelve_bits(collection: Path) -> None:
    image = np.linspace(-1.5, 2.5, 20 * 24 * 5, dtype=np.float32).reshape(20, 24, 5)
    write(collection / "B_2", "real", image, image > 2)
    stored = read_hospitals(collection)[0].patient("real").image
    assert (stored.min(), stored.max()) == (0, 4095)
    np.testing.assert_allclose(to_file_order(stored), (image + 1.5) * 4095 / 4, atol=0.6)


def other_shape(folder: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5)), np.eye(4)), folder / "B_2" / "TCGA-0_tumour.nii.gz")


def not_finite(folder: Path) -> None:
    image = np.full((20, 24, 5), np.nan, dtype=np.float32)
    write(folder / "B_2", "TCGA-0", image, np.zeros(image.shape, bool))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "B_2" / "TCGA-0_tumour.nii.gz").unlink(), "TCGA-0_tumour.nii.gz: is missing; add"),
        (lambda folder: (folder / "B_2" / "TCGA-0_flair.nii.gz").unlink(), "TCGA-0_flair.nii.gz: is missing; add"),
        (lambda folder: (folder / "B_2" / "TCGA-0_flair.nii.gz").write_bytes(b"\x1f\x8bno"), "can't be read as NIfTI"),
        (other_shape, "the mask has .* voxels"),
        (not_finite, "not finite"),
        (lambda folder: (folder / "B_2").rename(folder / ".hidden"), "1 of its folders hold patients"),
        (lambda folder: (folder / "patients.csv").write_bytes(b"\xff\xfe\x00"), "patients.csv: can't be read"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_the_mend(collection: Path, damage: object, says: str) -> None:
    damage(collection)  # type: ignore[operator]  # a table of small functions
    with pytest.raises(DataRefused, match=says):
        for hospital in read_hospitals(collection):
            hospital.patient("TCGA-0")


def test_more_than_eight_hospitals_are_refused(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 2), np.uint8)
    for number in range(9):
        write(tmp_path / f"s{number}", "p", image, image > 0)
    with pytest.raises(DataRefused, match=r"9 of its folders hold patients .* needs 2 to 8"):
        read_hospitals(tmp_path)
    with pytest.raises(DataRefused, match="there is no such folder"):
        read_hospitals(tmp_path / "absent")


@given(st.lists(st.text(max_size=40), unique=True, max_size=8))
def test_site_codes_are_safe_and_unique_whatever_the_folders_are_called(names: list[str]) -> None:
    codes = site_codes(names)
    assert list(codes) == names and len(set(codes.values())) == len(names)
    for code in codes.values():
        assert 1 <= len(code) <= 24 and code[0].isalpha() and code[-1] != "-"
        assert set(code) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.skipif(not LGG.is_dir(), reason="the lgg-mri collection isn't beside the repository")
def test_the_real_collection_reads_as_its_four_hospitals() -> None:
    found = read_hospitals(LGG)
    assert {hospital.code: len(hospital.keys) for hospital in found} == {"cs": 13, "du": 37, "fg": 11, "ht": 28}
    patient = clinic_patient(found[0])
    assert patient.mask.any() and patient.image.shape[1:] == (128, 128)
    assert patient.spacing == pytest.approx((4.0, 1.875, 1.875))
