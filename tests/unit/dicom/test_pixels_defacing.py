"""The face goes, the brain stays, whichever way the slices lie; what has no clear head isn't defaced."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from wardround.demo.anatomy import LesionPlan, build_head, grid
from wardround.dicom.confidentiality_profile import Option, Profile
from wardround.dicom.deidentify_folder import REVIEW, STAGED, deidentify_folder
from wardround.dicom.pixels_defacing import HeadUnclear, deface, may_show_a_face
from wardround.dicom.pixels_defacing_folder import deface_folder
from wardround.dicom.pixels_facts import PixelFacts
from wardround.dicom.volume import read_volume

SPACING = (4.0, 2.5, 2.5)
SHAPE = (58, 100, 88)
LOWEST = -132.0
MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"
# To the left, to the back, up, in the order of the slices' normal, down and along.
PLANES = {
    "axial": ((0, 1, 2), [1, 0, 0, 0, 1, 0]),
    "coronal": ((1, 0, 2), [1, 0, 0, 0, 0, -1]),
    "sagittal": ((2, 0, 1), [0, 1, 0, 0, 0, -1]),
}


@cache
def head() -> dict[str, np.ndarray]:
    """A head from chin to top (z, y, x), LPS: its MR signal, and where a person has a brain, eyes and a nose."""
    z, y, x = grid(SHAPE, SPACING, LOWEST)
    tissues = build_head(np.random.default_rng(5), (z, y, x), 50.0, LesionPlan(10, 6, 0.2), 3).fractions
    # The invented brain goes on down into the neck; a person's ends above the orbits in front, and at the neck behind.
    brain = (tissues["grey"] + tissues["white"] > 0.5) & ((z > -12) | ((y > -40) & (z > -60)))
    nose = ((x / 14) ** 2 + ((y + 104) / 22) ** 2 + ((z + 48) / 18) ** 2 <= 1) & (z < -20)
    eyes = ((np.abs(x) - 32) / 12) ** 2 + ((y + 76) / 12) ** 2 + ((z + 32) / 12) ** 2 <= 1
    signal = 0.8 * tissues["scalp"] + 0.6 * tissues["grey"] + 0.7 * tissues["white"] + 0.2 * tissues["csf"]
    signal = np.maximum(signal, 0.8 * nose) + 0.05 * tissues["bone"]
    noise = np.random.default_rng(6).uniform(0, 0.03, SHAPE)
    return {"signal": signal + noise, "brain": brain, "nose": nose, "eyes": eyes & ~nose}


def series(name: str, *, sop_class: str = MR, cut: slice = slice(None)) -> tuple[list[bytes], dict[str, np.ndarray]]:
    """The head as slices of one orientation, in a mixed order, and its parts on the volume's grid."""
    order, cosines = PLANES[name]
    parts = {key: value[cut] for key, value in head().items()}
    lowest = LOWEST + SPACING[0] * (cut.start or 0)
    origin = np.array([-(SHAPE[2] - 1) / 2 * SPACING[2], -(SHAPE[1] - 1) / 2 * SPACING[1], lowest])
    top = lowest + SPACING[0] * (parts["brain"].shape[0] - 1)
    spacing = [SPACING[axis] for axis in {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}[name]]
    laid = {key: np.transpose(value, order) for key, value in parts.items()}
    if name != "axial":  # rows go down the body
        laid = {key: value[:, ::-1] for key, value in laid.items()}
    instances = []
    for number in range(laid["brain"].shape[0]):
        place = origin.copy()
        place[{"axial": 2, "coronal": 1, "sagittal": 0}[name]] += number * spacing[0]
        if name != "axial":
            place[2] = top
        instances.append(slice_of(laid["signal"][number], place, cosines, spacing, number, sop_class))
    volume = read_volume(instances)
    numbers = [int(uid.rsplit(".", 1)[1]) - 1 for uid in volume.sop_instance_uids]
    placed = {key: value[numbers] for key, value in laid.items()}
    return instances[1::2] + instances[::2], placed


def slice_of(
    signal: np.ndarray, place: np.ndarray, cosines: list[int], spacing: list[float], number: int, sop_class: str
) -> bytes:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"2.25.9.{number + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "2.25.1", "2.25.2", "2.25.3"
    ds.Modality = "CT" if sop_class == CT else "MR"
    ds.BodyPartExamined, ds.ImageType = "HEAD", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ImagePositionPatient = [float(value) for value in place]
    ds.ImageOrientationPatient = cosines
    ds.PixelSpacing, ds.SliceThickness = spacing[1:], spacing[0]
    ds.Rows, ds.Columns = signal.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    values = signal * 1000
    if sop_class == CT:
        ds.RescaleIntercept, ds.RescaleSlope = -1024, 1
        values = np.where(signal > 0.04, 1024 + 40, 24)
    ds.PixelData = np.ascontiguousarray(values).astype("<u2").tobytes()
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("sop_class", [MR, CT])
@pytest.mark.parametrize("name", PLANES)
def test_the_face_is_gone_and_the_brain_is_there(name: str, sop_class: str) -> None:
    instances, parts = series(name, sop_class=sop_class)
    before = read_volume(instances).array
    result = deface(instances)
    after = read_volume(list(result.instances)).array
    air = before.min()
    assert (after[parts["nose"]] == air).mean() > 0.99
    assert (after[parts["eyes"]] == air).mean() > 0.6
    assert (after[parts["brain"]] == before[parts["brain"]]).mean() >= 0.999
    changed = after != before
    assert (after[changed] == air).all()
    assert 0 < result.voxels <= parts["brain"].size


def test_each_slice_says_what_was_done_and_keeps_its_place() -> None:
    instances, _ = series("axial")
    for before, after in zip(instances, deface(instances).instances, strict=True):
        old, new = pydicom.dcmread(io.BytesIO(before)), pydicom.dcmread(io.BytesIO(after))
        assert new.SOPInstanceUID == old.SOPInstanceUID
        assert new.RecognizableVisualFeatures == "NO"
        assert [item.CodeValue for item in new.DeidentificationMethodCodeSequence] == ["113102"]
        assert len(new.PixelData) == len(old.PixelData)


def test_a_series_above_the_brow_loses_nothing() -> None:
    instances, _ = series("axial", cut=slice(36, None))
    result = deface(instances)
    assert result.voxels == 0
    assert (read_volume(list(result.instances)).array == read_volume(instances).array).all()


def test_a_head_without_its_top_is_not_called_defaced() -> None:
    instances, _ = series("axial", cut=slice(0, 34))
    with pytest.raises(HeadUnclear) as unclear:
        deface(instances)
    assert unclear.value.reason_code == "top-of-head-missing"


@pytest.mark.parametrize(("values", "reason"), [(0.0, "no-head"), (0.8, "not-a-head")])
def test_what_is_no_head_is_not_called_defaced(values: float, reason: str) -> None:
    empty = [
        slice_of(np.full((40, 40), values * (4 < n < 9)), np.array([0.0, 0.0, 4.0 * n]), [1, 0, 0, 0, 1, 0],
                 [4.0, 2.0, 2.0], n, MR)
        for n in range(12)
    ]  # fmt: skip
    with pytest.raises(HeadUnclear) as unclear:
        deface(empty)
    assert unclear.value.reason_code == reason


SLICE = PixelFacts(sop_class=MR, body_part="HEAD")


@pytest.mark.parametrize("part", ["HEAD", "BRAIN", "NECK", "WHOLEBODY", "", "SCHAEDEL", "HEAD^ROUTINE"])
def test_whatever_is_not_known_to_show_no_face_may_show_one(part: str) -> None:
    assert may_show_a_face(replace(SLICE, body_part=part))


def test_only_ct_and_mr_are_asked_for_faces() -> None:
    assert not may_show_a_face(replace(SLICE, body_part="KNEE"))
    assert may_show_a_face(replace(SLICE, body_part="KNEE", recognisable="YES")), "the header's own word counts"
    assert may_show_a_face(replace(SLICE, sop_class="1.2.840.10008.5.1.4.1.1.2.1")), "enhanced ones too"
    assert not may_show_a_face(replace(SLICE, sop_class="1.2.840.10008.5.1.4.1.1.128"))
    assert not may_show_a_face(replace(SLICE, has_pixels=False))


def test_a_multi_frame_object_is_not_called_defaced() -> None:
    instances, _ = series("axial", cut=slice(50, None))
    ds = pydicom.dcmread(io.BytesIO(instances[0]))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    out = io.BytesIO()
    ds.save_as(out)
    with pytest.raises(HeadUnclear) as unclear:
        deface([out.getvalue()])
    assert unclear.value.reason_code == "multi-frame"


def test_a_folder_keeps_what_was_defaced_and_sets_aside_what_was_not(tmp_path: Path) -> None:
    folder, aside = tmp_path / "out", tmp_path / "out" / "review"
    whole, _ = series("axial")
    headless, _ = series("axial", cut=slice(0, 34))
    for name, instances in (("a", whole), ("b", headless)):
        (folder / "study" / name).mkdir(parents=True)
        for number, part10 in enumerate(instances):
            (folder / "study" / name / f"{number:03}.dcm").write_bytes(part10)
    done = deface_folder(folder, aside)
    assert (done.defaced, done.whole, dict(done.unclear)) == (1, 0, {"top-of-head-missing": 1})
    assert len(list((folder / "study" / "a").iterdir())) == len(whole)
    assert not (folder / "study" / "b").exists()
    assert len(list((aside / "study" / "b").iterdir())) == len(headless)
    kept = pydicom.dcmread(folder / "study" / "a" / "000.dcm")
    assert kept.RecognizableVisualFeatures == "NO"


def test_the_folder_tool_lets_no_face_out_under_a_profile_that_removes_faces(tmp_path: Path) -> None:
    whole, _ = series("axial")
    headless, _ = series("axial", cut=slice(0, 34))
    (tmp_path / "in").mkdir()
    for study, instances in (("1", whole), ("2", headless)):
        for number, part10 in enumerate(instances):
            ds = pydicom.dcmread(io.BytesIO(part10))
            ds.PatientID, ds.PatientName = "4085761", "Vandersteen^Ottilie"
            ds.StudyInstanceUID, ds.SeriesInstanceUID = f"2.25.7{study}", f"2.25.8{study}"
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.9{study}.{number + 1}"
            ds.save_as(tmp_path / "in" / f"{study}-{number:03}.dcm")
    profile = Profile(frozenset({*Profile.research().options, Option.CLEAN_VISUAL_FEATURES}), name="faceless")
    out = tmp_path / "out"
    report = deidentify_folder(tmp_path / "in", out, profile=profile, secret=bytes(range(32)))
    assert (report.done, report.defaced, dict(report.unclear)) == (
        len(whole) + len(headless),
        1,
        {"top-of-head-missing": 1},
    )
    kept = sorted(file for file in out.rglob("*.dcm") if REVIEW not in file.parts)
    assert len(kept) == len(whole)
    assert {pydicom.dcmread(file, stop_before_pixels=True).RecognizableVisualFeatures for file in kept} == {"NO"}
    assert len(list((out / REVIEW).rglob("*.dcm"))) == len(headless)
    assert not (out / STAGED).exists()
