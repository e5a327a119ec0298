"""Scoring an exported model on a folder of hospitals."""

import nibabel
import numpy as np
import pytest

from wardround.learning.bundle import export_bundle, packaged
from wardround.learning.score import DataRefused, score
from wardround.learning.segmenter import Segmenter


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    target = tmp_path_factory.mktemp("score") / "model"
    export_bundle(Segmenter(packaged()).initial(0), target, {})
    return target


@pytest.fixture
def data(tmp_path, ball_head):
    def put(site, patient, case):
        folder = tmp_path / "data" / site
        folder.mkdir(parents=True, exist_ok=True)
        affine = np.diag([*case.spacing[::-1], 1.0])
        for kind, array in (("flair", case.image), ("tumour", case.label.astype(np.uint8))):
            nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), affine), folder / f"{patient}_{kind}.nii.gz")

    put("Old Town", "P1", ball_head(1, shape=(4, 48, 56), dtype=np.uint8))
    put("Old Town", "P2", ball_head(2, shape=(6, 64, 64), dtype=np.uint8))
    put("Quay", "P3", ball_head(3, shape=(3, 40, 44), dtype=np.int16))
    (tmp_path / "data/patients.csv").write_text("site,patient\n")
    return tmp_path / "data"


def test_every_patient_counts_alike_in_the_means(model, data):
    told = score(model, data)
    assert told["patients"].keys() == {"P1", "P2", "P3"}
    assert told["sites"].keys() == {"Old Town", "Quay"}
    assert told["mean"] == pytest.approx(sum(told["patients"].values()) / 3)
    assert told["sites"]["Old Town"] == pytest.approx((told["patients"]["P1"] + told["patients"]["P2"]) / 2)
    assert told["sites"]["Quay"] == told["patients"]["P3"]


def test_two_hospitals_may_use_one_name(model, data):
    for kind in ("flair", "tumour"):
        (data / f"Quay/P3_{kind}.nii.gz").rename(data / f"Quay/P1_{kind}.nii.gz")
    assert score(model, data)["patients"].keys() == {"Old Town/P1", "P2", "Quay/P1"}


def test_axes_of_file_and_mask_agree_with_those_of_prediction(model, data, monkeypatch):
    seen = []

    def evaluate(self, arrays, cases):
        seen.extend(cases)
        return {case.name: (1.0,) for case in cases}

    monkeypatch.setattr(Segmenter, "evaluate", evaluate)
    score(model, data)
    assert [case.image.shape for case in seen] == [(4, 48, 56), (6, 64, 64), (3, 40, 44)]
    assert seen[0].spacing == (6.0, 4.0, 4.0)


def break_(data, how):
    mask = data / "Quay/P3_tumour.nii.gz"
    if how == "no mask":
        mask.unlink()
    elif how == "no image":
        (data / "Quay/P3_flair.nii.gz").unlink()
    elif how == "shapes":
        nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)), mask)
    elif how == "values":
        nibabel.save(nibabel.Nifti1Image(np.full((44, 40, 3), 2, np.uint8), np.eye(4)), mask)
    elif how == "cut short":
        mask.write_bytes(mask.read_bytes()[:60])
    elif how == "not NIfTI":
        mask.write_bytes(b"hello")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no mask", "P3_tumour.nii.gz is missing"),
        ("no image", "P3_flair.nii.gz is missing"),
        ("shapes", "they must agree"),
        ("values", "other than 0 and 1"),
        ("cut short", "damaged or not NIfTI"),
        ("not NIfTI", "damaged or not NIfTI"),
    ],
)
def test_what_is_wrong_with_the_folder_is_said(model, data, how, said):
    break_(data, how)
    with pytest.raises(DataRefused, match="P3") as refusal:
        score(model, data)
    assert said in str(refusal.value)


def test_a_folder_without_patients_is_refused(model, tmp_path):
    (tmp_path / "empty/site").mkdir(parents=True)
    with pytest.raises(DataRefused, match="no patients"):
        score(model, tmp_path / "empty")
    with pytest.raises(DataRefused, match="not a folder"):
        score(model, tmp_path / "nowhere")
