"""Segmentations: what is written passes an independent validator and comes back on the same grid, or is refused."""

import io
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage, RLELossless

from wardround.demo.patients import DemoPatient, mr_slices
from wardround.demo.phantoms import hospitals
from wardround.dicom.segmentation import (
    SegmentationReason,
    SegmentationRefused,
    read_segmentation,
    referenced_series_uid,
    write_annotation,
    write_segmentation,
)
from wardround.dicom.volume import Volume, read_volume

BANNER = "Shadow: not for diagnostic use"
MODEL = {"model_name": "brain-mri-glioma", "model_version": "0.1.0", "model_digest": "ab" * 32, "banner": BANNER}


@pytest.fixture(scope="module")
def patient() -> DemoPatient:
    hospital = hospitals(2, patients=1, slices=5, matrix=26)[1]
    return hospital.patient(hospital.clinic_key)


@pytest.fixture(scope="module")
def slices(patient: DemoPatient) -> list[bytes]:
    return mr_slices(patient)


@pytest.fixture(scope="module")
def volume(slices: list[bytes]) -> Volume:
    return read_volume(slices)


@pytest.fixture(scope="module")
def mask() -> NDArray[np.bool_]:
    # 5 x 26 x 26 with a ragged edge and an empty slice: no frame ends at a byte, and order and turns show.
    mask = np.random.default_rng(3).random((5, 26, 26)) < 0.3
    mask[1] = False
    return mask


def reopened(part10: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(part10))


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian's dicom3tools) isn't installed")
@pytest.mark.parametrize("kind", ["model", "model, nothing found", "person"])
def test_the_validator_has_nothing_to_say(
    kind: str, slices: list[bytes], mask: NDArray[np.bool_], tmp_path: Path
) -> None:
    shown = mask & (kind != "model, nothing found")
    written = (
        write_annotation(slices, shown, annotator="Whitlow^Hester")
        if kind == "person"
        else write_segmentation(slices, shown, **MODEL)
    )
    (tmp_path / "seg.dcm").write_bytes(written)
    verdict = subprocess.run(["dciodvfy", "-new", tmp_path / "seg.dcm"], capture_output=True, text=True, check=False)
    assert (verdict.returncode, verdict.stderr.strip(), verdict.stdout.strip()) == (0, "Segmentation", "")


def test_a_result_says_whose_it_is_what_made_it_and_what_it_may_be_used_for(
    slices: list[bytes], mask: NDArray[np.bool_], patient: DemoPatient
) -> None:
    made_at = datetime(2026, 3, 4, 5, 6, 7)
    ds = reopened(
        write_segmentation(slices, mask, series_instance_uid="1.2.3", sop_instance_uid="1.2.3.4", at=made_at, **MODEL)
    )
    assert (ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.SegmentationType) == ("1.2.3", "1.2.3.4", "BINARY")
    assert (ds.PatientID, ds.StudyInstanceUID) == (
        patient.identity.patient_id,
        patient.identity.study_instance_uid,
    )
    assert (ds.ContentDate, ds.ContentTime) == ("20260304", "050607")
    segment = ds.SegmentSequence[0]
    for shown in (ds.SeriesDescription, ds.ContentDescription, segment.SegmentDescription):
        assert shown.startswith(BANNER)
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (MODEL["model_name"], MODEL["model_version"])
    assert MODEL["model_digest"] in algorithm.AlgorithmParameters
    assert reopened(write_annotation(slices, mask)).SegmentSequence[0].SegmentAlgorithmType == "MANUAL"
    assert referenced_series_uid(write_annotation(slices, mask)) == patient.identity.series_instance_uid


def test_a_mask_comes_back_whatever_order_the_slices_came_in(
    slices: list[bytes], mask: NDArray[np.bool_], volume: Volume
) -> None:
    for order in ((0, 1, 2, 3, 4), (4, 2, 0, 1, 3)):
        written = write_segmentation([slices[index] for index in order], mask, **MODEL)
        np.testing.assert_array_equal(read_segmentation(written, volume), mask)
        assert reopened(written).NumberOfFrames == 4  # the empty slice takes no frame


def test_another_reader_finds_the_same_mask(slices: list[bytes], mask: NDArray[np.bool_], volume: Volume) -> None:
    other = highdicom.seg.segread(io.BytesIO(write_segmentation(slices, mask, **MODEL)))
    seen = other.get_pixels_by_source_instance(volume.sop_instance_uids, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(seen[..., 0].astype(bool), mask)


def test_nothing_found_is_an_object_too(slices: list[bytes], mask: NDArray[np.bool_], volume: Volume) -> None:
    empty = np.zeros_like(mask)
    np.testing.assert_array_equal(read_segmentation(write_segmentation(slices, empty, **MODEL), volume), empty)


def test_a_source_without_patient_attributes_can_be_segmented(slices: list[bytes], mask: NDArray[np.bool_]) -> None:
    bare = [reopened(part10) for part10 in slices]
    for ds in bare:
        for keyword in ("PatientName", "PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
            delattr(ds, keyword)
    assert reopened(write_annotation(bare, mask)).PatientBirthDate == ""
    assert "PatientName" not in bare[0]  # the caller's own dataset is left as it was


def test_no_warning_quotes_a_name(
    slices: list[bytes], mask: NDArray[np.bool_], recwarn: pytest.WarningsRecorder
) -> None:
    single = [reopened(part10) for part10 in slices]
    for ds in single:
        ds.PatientName = "Mononymous"
    write_annotation(single, mask, annotator="Mononymous")
    assert not [warning for warning in recwarn if "Mononymous" in str(warning.message)]


@pytest.mark.parametrize("wrong", [np.zeros((5, 26, 25), bool), np.zeros((4, 26, 26), bool), np.zeros((5, 26, 26))])
def test_a_mask_that_does_not_fit_is_refused(wrong: NDArray[np.bool_], slices: list[bytes]) -> None:
    with pytest.raises(ValueError, match="mask must be bool of shape"):
        write_segmentation(slices, wrong, **MODEL)


def groups(ds: Dataset) -> list[Dataset]:
    return list(ds.PerFrameFunctionalGroupsSequence)


def without_references(ds: Dataset) -> None:
    for frame in groups(ds):
        del frame.DerivationImageSequence


def test_frames_without_references_are_placed_by_position_in_the_same_frame_of_reference_only(
    slices: list[bytes], mask: NDArray[np.bool_], volume: Volume
) -> None:
    ds = reopened(write_annotation(slices, mask))
    without_references(ds)
    np.testing.assert_array_equal(read_segmentation(ds, volume), mask)
    ds.FrameOfReferenceUID = "1.2.3"
    with pytest.raises(SegmentationRefused) as caught:
        read_segmentation(ds, volume)
    assert caught.value.reason_code is SegmentationReason.UNMATCHED_FRAME


def swap_places(ds: Dataset) -> None:
    first, second = groups(ds)[:2]
    first.PlanePositionSequence, second.PlanePositionSequence = (
        second.PlanePositionSequence,
        first.PlanePositionSequence,
    )


def move_off(ds: Dataset) -> None:
    for frame in groups(ds):
        position = frame.PlanePositionSequence[0]
        position.ImagePositionPatient = [value + 1 for value in position.ImagePositionPatient]


def flip(ds: Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


def finer(ds: Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1, 1]


def of_another_series(ds: Dataset) -> None:
    for frame in groups(ds):
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def second_segment(ds: Dataset) -> None:
    other = Dataset()
    other.SegmentNumber = 2
    ds.SegmentSequence.append(other)


BROKEN: list[tuple[SegmentationReason, Callable[[Dataset], object]]] = [
    (SegmentationReason.NOT_BINARY_SEGMENTATION, lambda ds: setattr(ds, "SOPClassUID", MRImageStorage)),
    (SegmentationReason.NOT_BINARY_SEGMENTATION, lambda ds: setattr(ds, "SegmentationType", "FRACTIONAL")),
    (SegmentationReason.UNSUPPORTED_ENCODING, lambda ds: setattr(ds.file_meta, "TransferSyntaxUID", RLELossless)),
    (SegmentationReason.UNREADABLE, lambda ds: setattr(ds, "PixelData", ds.PixelData[:8])),
    (SegmentationReason.UNREADABLE, lambda ds: delattr(ds, "PerFrameFunctionalGroupsSequence")),
    (SegmentationReason.UNREADABLE, lambda ds: ds.PerFrameFunctionalGroupsSequence.pop()),
    (SegmentationReason.SEVERAL_SEGMENTS, second_segment),
    (SegmentationReason.OTHER_SIZE, lambda ds: setattr(ds, "Rows", 25)),
    (SegmentationReason.OTHER_SERIES, of_another_series),
    (SegmentationReason.OTHER_GRID, swap_places),
    (SegmentationReason.OTHER_GRID, move_off),
    (SegmentationReason.OTHER_GRID, flip),
    (SegmentationReason.OTHER_GRID, finer),
]


@pytest.mark.parametrize(("reason", "damage"), BROKEN)
def test_what_cannot_lie_on_the_volume_is_refused_by_code(
    reason: SegmentationReason,
    damage: Callable[[Dataset], object],
    slices: list[bytes],
    mask: NDArray[np.bool_],
    volume: Volume,
    patient: DemoPatient,
) -> None:
    ds = reopened(write_annotation(slices, mask))
    damage(ds)
    with pytest.raises(SegmentationRefused) as caught:
        read_segmentation(ds, volume)
    assert caught.value.reason_code is reason
    assert patient.identity.uid_root not in str(caught.value)


def test_one_of_several_segments_can_be_chosen(slices: list[bytes], mask: NDArray[np.bool_], volume: Volume) -> None:
    ds = reopened(write_annotation(slices, mask))
    second_segment(ds)
    for number, frame in zip((1, 1, 2, 2), groups(ds), strict=True):
        frame.SegmentIdentificationSequence = [Dataset()]
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number
    first, second = (read_segmentation(ds, volume, segment_number=number) for number in (1, 2))
    np.testing.assert_array_equal(first | second, mask)
    assert [part.any((1, 2)).sum() for part in (first, second)] == [2, 2]
    with pytest.raises(SegmentationRefused) as caught:
        read_segmentation(ds, volume, segment_number=3)
    assert caught.value.reason_code is SegmentationReason.NO_SUCH_SEGMENT


@pytest.fixture(scope="module")
def whole(slices: list[bytes], mask: NDArray[np.bool_]) -> bytes:
    return write_annotation(slices, mask)


@pytest.mark.filterwarnings("ignore")  # pydicom warns of each damaged value
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused_and_nothing_else(whole: bytes, volume: Volume, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(128, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for read in (lambda part10: read_segmentation(part10, volume).shape, referenced_series_uid):
        try:
            read(bytes(damaged))
        except SegmentationRefused as refused:
            assert refused.reason_code in SegmentationReason
