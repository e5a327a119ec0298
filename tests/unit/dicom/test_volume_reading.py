"""A series becomes one volume in the patient's frame, or is refused with a code and without an identifier."""

import copy
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from wardround.demo.patients import DemoPatient, mr_slices
from wardround.demo.phantoms import hospitals
from wardround.dicom.volume import VolumeReason, VolumeRefused, read_volume


@pytest.fixture(scope="module")
def patient() -> DemoPatient:
    hospital = hospitals(2, patients=1, slices=5, matrix=24)[0]
    return hospital.patient(hospital.keys[0])


@pytest.fixture(scope="module")
def whole(patient: DemoPatient) -> list[bytes]:
    return mr_slices(patient)[:2]


@pytest.fixture
def series(patient: DemoPatient) -> list[Dataset]:
    return [pydicom.dcmread(io.BytesIO(part10)) for part10 in mr_slices(patient)]


def refusal(instances: list[Dataset]) -> VolumeRefused:
    with pytest.raises(VolumeRefused) as caught:
        read_volume(instances)
    return caught.value


def test_slices_are_ordered_by_place_whatever_their_numbers_say(patient: DemoPatient, tmp_path: Path) -> None:
    parts = mr_slices(patient)
    shuffled = [pydicom.dcmread(io.BytesIO(parts[index])) for index in (3, 0, 4, 2, 1)]
    for number, ds in enumerate(shuffled, 1):
        ds.InstanceNumber = number
    (tmp_path / "one").write_bytes(parts[4])
    mixed = [tmp_path / "one", parts[0], *(shuffled[index] for index in (4, 3, 0))]

    for instances in (shuffled, mixed):
        volume = read_volume(instances)
        np.testing.assert_array_equal(volume.array, patient.image)
        np.testing.assert_allclose(volume.affine, patient.affine, atol=1e-4)
        assert volume.spacing == pytest.approx(patient.spacing, abs=1e-4)
        assert volume.sop_instance_uids == tuple(patient.identity.uid(1, 1, number) for number in range(1, 6))
        assert volume.series_instance_uid == patient.identity.series_instance_uid


def test_the_affine_places_every_corner_where_the_headers_say_for_oblique_slices(series: list[Dataset]) -> None:
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    for ds in series:
        row, column = (turn @ np.array(ds.ImageOrientationPatient[part]) for part in (slice(3), slice(3, 6)))
        ds.ImageOrientationPatient = [round(float(value), 8) for value in (*row, *column)]
        ds.ImagePositionPatient = [round(float(value), 5) for value in turn @ np.array(ds.ImagePositionPatient)]
    volume = read_volume(series[::-1])
    for index, ds in enumerate(series):
        right_of_it = np.array(ds.ImagePositionPatient) + 7 * ds.PixelSpacing[1] * np.array(
            ds.ImageOrientationPatient[:3], dtype=float
        )
        np.testing.assert_allclose((volume.affine @ (index, 0, 7, 1))[:3], right_of_it, atol=1e-3)
    assert np.linalg.det(volume.affine[:3, :3]) < 0  # slices, rows, columns: the reverse of a right-handed frame


def test_rescale_is_applied_slice_by_slice(series: list[Dataset], patient: DemoPatient) -> None:
    for index, ds in enumerate(series):
        ds.RescaleSlope, ds.RescaleIntercept = 1 + index, -10 * index
    array = read_volume(series).array
    for index in range(len(series)):
        np.testing.assert_allclose(array[index], patient.image[index] * (1 + index) - 10 * index)


def test_compressed_slices_read_the_same(series: list[Dataset], patient: DemoPatient) -> None:
    for ds in series:
        ds.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read_volume(series).array, patient.image)


def test_a_single_slice_takes_its_thickness_from_the_header(series: list[Dataset], patient: DemoPatient) -> None:
    assert read_volume(series[2:3]).spacing == pytest.approx(patient.spacing, abs=1e-4)
    del series[2].SliceThickness, series[2].SpacingBetweenSlices
    assert refusal(series[2:3]).reason_code is VolumeReason.MISSING_GEOMETRY


def move(ds: Dataset, by: tuple[float, float, float]) -> None:
    ds.ImagePositionPatient = [float(value) + step for value, step in zip(ds.ImagePositionPatient, by, strict=True)]


def shear(series: list[Dataset]) -> None:
    for index, ds in enumerate(series):
        move(ds, (0, 2.0 * index, 0))


RGB = (("PhotometricInterpretation", "RGB"), ("SamplesPerPixel", 3))


def several(series: list[Dataset]) -> None:
    again = copy.deepcopy(series)
    for ds in again:
        ds.SOPInstanceUID, ds.EchoTime = f"{ds.SOPInstanceUID}.1", 99
        ds.PixelData = bytes(len(ds.PixelData))
    series.extend(again)


BROKEN: dict[VolumeReason, Callable[[list[Dataset]], object]] = {
    VolumeReason.NO_INSTANCES: list.clear,
    VolumeReason.MULTI_FRAME: lambda s: setattr(s[0], "NumberOfFrames", 2),
    VolumeReason.MISSING_GEOMETRY: lambda s: delattr(s[1], "ImagePositionPatient"),
    VolumeReason.INVALID_GEOMETRY: lambda s: [setattr(d, "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]) for d in s],
    VolumeReason.MIXED_SERIES: lambda s: setattr(s[1], "SeriesInstanceUID", "1.2.3"),
    VolumeReason.MIXED_FRAME_OF_REFERENCE: lambda s: setattr(s[1], "FrameOfReferenceUID", "1.2.3"),
    VolumeReason.MIXED_ORIENTATION: lambda s: setattr(s[1], "ImageOrientationPatient", [0, 1, 0, 0, 0, 1]),
    VolumeReason.MIXED_SIZE: lambda s: setattr(s[1], "Rows", 12),
    VolumeReason.MIXED_SPACING: lambda s: setattr(s[1], "PixelSpacing", [9, 9]),
    VolumeReason.DUPLICATE_INSTANCE: lambda s: s.append(s[0]),
    VolumeReason.DUPLICATE_POSITION: lambda s: setattr(s[1], "ImagePositionPatient", s[0].ImagePositionPatient),
    VolumeReason.UNEVEN_SPACING: lambda s: move(s[2], (0, 0, 0.4 * float(s[2].SliceThickness))),
    VolumeReason.MISSING_SLICES: lambda s: s.pop(2),
    VolumeReason.SEVERAL_VOLUMES: several,
    VolumeReason.COLOUR: lambda s: (
        setattr(s[1], "PhotometricInterpretation", "RGB"),
        setattr(s[1], "SamplesPerPixel", 3),
    ),
    VolumeReason.SHEARED: shear,
    VolumeReason.UNSUPPORTED_PIXELS: lambda s: setattr(s[1], "PhotometricInterpretation", "PALETTE COLOR"),
    VolumeReason.UNREADABLE: lambda s: setattr(s[1], "PixelData", b"\0\0"),
    VolumeReason.TOO_LARGE: lambda s: [(setattr(d, "Rows", 65535), setattr(d, "Columns", 65535)) for d in s],
}


@pytest.mark.parametrize("reason", list(VolumeReason))
def test_what_is_no_regular_volume_is_refused_by_code_and_names_nobody(
    reason: VolumeReason, series: list[Dataset], patient: DemoPatient
) -> None:
    BROKEN[reason](series)
    refused = refusal(series)
    assert refused.reason_code is reason
    identity = patient.identity
    for secret in (identity.uid_root, identity.patient_id, identity.name.split("^")[0], "1.2.3"):
        assert secret not in str(refused)


def test_a_missing_file_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(VolumeRefused) as caught:
        read_volume([tmp_path / "absent.dcm"])
    assert caught.value.reason_code is VolumeReason.UNREADABLE
    assert "absent" not in str(caught.value)


def test_a_damaged_attribute_of_the_pixels_is_refused(whole: list[bytes]) -> None:
    damaged = whole[0].replace(b"\x28\0\x02\0US", b"\x28\0\x02\0U\0")
    assert damaged != whole[0]
    with pytest.raises(VolumeRefused) as caught:
        read_volume([damaged, *whole[1:]])
    assert caught.value.reason_code is VolumeReason.UNREADABLE


@pytest.mark.filterwarnings("ignore")  # pydicom warns of each damaged value
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused_and_nothing_else(whole: list[bytes], data: st.DataObject) -> None:
    parts = [bytearray(part10) for part10 in whole]
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(128, len(parts[0]) - 1))
        parts[0][place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del parts[0][data.draw(st.integers(0, len(parts[0]) - 1)) :]
    try:
        volume = read_volume([bytes(part) for part in parts])
    except VolumeRefused as refused:
        assert refused.reason_code in VolumeReason
    else:
        assert np.isfinite(volume.array).all()
