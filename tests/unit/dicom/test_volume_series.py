"""What scanners send in one series, and what becomes of it: mended, taken apart, or refused with a reason."""

from __future__ import annotations

import copy
import random
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid
from tests.unit.dicom.volume_lab import points_of, put, segmentation, series, smooth, turned

from wardround.dicom.segmentation_reading import read_segmentation
from wardround.dicom.volume import (
    LEARNING,
    VolumePolicy,
    VolumeReason,
    VolumeRefused,
    read_volume,
    read_volumes,
    straighten,
)


def refused(instances: list[Dataset], policy: VolumePolicy = LEARNING) -> VolumeReason:
    with pytest.raises(VolumeRefused) as caught:
        read_volume(instances, policy)
    return caught.value.reason_code


@settings(max_examples=25, deadline=None)
@given(
    turn=st.none() | st.integers(0, 10_000),
    tilt=st.floats(-3, 3).filter(lambda tilt: tilt == 0 or abs(tilt) > 0.5),
    slices=st.integers(3, 9),
    order=st.randoms(use_true_random=False),
)
def test_each_voxel_lies_where_the_headers_say(
    turn: int | None, tilt: float, slices: int, order: random.Random
) -> None:
    instances = series(slices, turn=turned(turn), tilt=tilt)
    order.shuffle(instances)
    volume = read_volume(instances, LEARNING)
    truth = smooth(points_of(volume.affine, volume.shape)) - 1024
    np.testing.assert_allclose(volume.array, truth, atol=0.6)
    upright, _ = straighten(volume)
    assert not upright.tilted and upright.shape[0] == slices
    along = upright.affine[:3, 0] / upright.spacing[0]
    normal = np.cross(upright.affine[:3, 2], upright.affine[:3, 1])
    np.testing.assert_allclose(along, normal / np.linalg.norm(normal), atol=1e-4)
    truth = smooth(points_of(upright.affine, upright.shape)) - 1024
    inside = upright.array > volume.array.min() + 1
    inside[:, :, [0, -1]] = inside[:, [0, -1]] = False
    for _ in range(2):  # the border is mixed with what lies outside
        inside[:, 1:-1, 1:-1] &= inside[:, :-2, 1:-1] & inside[:, 2:, 1:-1] & inside[:, 1:-1, :-2] & inside[:, 1:-1, 2:]
    assert inside.any()
    np.testing.assert_allclose(upright.array[inside], truth[inside], atol=4)


@pytest.mark.parametrize("turn", [None, 3, 8])
def test_an_independent_reader_sees_the_same_grid_and_values(turn: int | None) -> None:
    instances = series(turn=turned(turn))
    theirs = highdicom.get_volume_from_series(instances)
    ours = read_volume(instances)
    if np.dot(theirs.affine[:3, 0], ours.affine[:3, 0]) < 0:
        theirs = theirs.flip_spatial([0])
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(ours.array, theirs.array, atol=1e-3)


def test_a_tilted_label_moves_with_its_voxels() -> None:
    instances = series(10, tilt=2.0)
    volume = read_volume(instances, LEARNING)
    mask = volume.array > np.percentile(volume.array, 80)
    upright, moved = straighten(volume, mask)
    assert moved is not None and moved.sum() == mask.sum()
    before = points_of(volume.affine, volume.shape)[mask].mean(axis=0)
    after = points_of(upright.affine, upright.shape)[moved].mean(axis=0)
    np.testing.assert_allclose(before, after, atol=0.75)


def test_the_clinical_reader_refuses_a_tilt_and_slices_on_no_line_are_refused_by_all() -> None:
    with pytest.raises(VolumeRefused) as caught:
        read_volume(series(tilt=2.0))
    assert caught.value.reason_code is VolumeReason.SHEARED
    bent = series(8)
    for index, ds in enumerate(bent):
        ds.ImagePositionPatient[1] += 0.4 * index**2
    assert refused(bent) is VolumeReason.SHEARED


def test_the_same_slice_twice_counts_once_and_another_at_its_place_is_refused() -> None:
    instances = series()
    again = copy.deepcopy(instances[4])
    again.SOPInstanceUID = generate_uid()
    assert refused([*instances, again], VolumePolicy()) is VolumeReason.DUPLICATE_POSITION
    volume = read_volume([*instances, again, instances[2]], LEARNING)
    np.testing.assert_array_equal(volume.array, read_volume(instances).array)
    put(again, np.zeros((20, 24), np.uint16))
    assert refused([*instances, again]) is VolumeReason.DUPLICATE_POSITION


def test_one_missing_slice_of_a_long_series_is_interpolated_for_learning_alone() -> None:
    instances = series(24)
    whole = read_volume(instances)
    gone = instances.pop(9)
    assert refused(instances, VolumePolicy()) is VolumeReason.MISSING_SLICES
    volume = read_volume(instances, LEARNING)
    assert volume.filled == (9,) and volume.sop_instance_uids[9] == ""
    assert gone.SOPInstanceUID not in volume.sop_instance_uids
    np.testing.assert_allclose(volume.affine, whole.affine, atol=1e-6)
    np.testing.assert_allclose(volume.array[9], (whole.array[8] + whole.array[10]) / 2)
    assert refused(instances[:4] + instances[5:]) is VolumeReason.MISSING_SLICES
    del instances[12]
    assert refused(instances) is VolumeReason.MISSING_SLICES
    assert refused(series(5)[:2] + series(5)[3:]) is VolumeReason.MIXED_SERIES
    short = series(5)
    assert refused([*short[:2], *short[3:]]) is VolumeReason.MISSING_SLICES


def test_two_slices_are_filled_only_where_they_lie_apart() -> None:
    policy = VolumePolicy(fill=2)
    apart, adjacent = series(30), series(30)
    del apart[20], apart[9], adjacent[9:11]
    assert read_volume(apart, policy).filled == (9, 20)
    assert refused(adjacent, policy) is VolumeReason.MISSING_SLICES


def test_slices_at_odd_distances_are_refused() -> None:
    instances = series()
    for ds in instances[6:]:
        ds.ImagePositionPatient[2] += 1.3
    assert refused(instances) is VolumeReason.UNEVEN_SPACING


def test_a_localiser_in_the_series_is_left_out_for_learning_and_refused_for_the_clinic() -> None:
    instances = series()
    side = series(1, turn=turned(4), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0]
    side.SeriesInstanceUID, side.FrameOfReferenceUID = instances[0].SeriesInstanceUID, instances[0].FrameOfReferenceUID
    np.testing.assert_array_equal(read_volume([side, *instances], LEARNING).array, read_volume(instances).array)
    assert refused([side, *instances], VolumePolicy()) is VolumeReason.MIXED_ORIENTATION
    many = [copy.deepcopy(side) for _ in range(20)]
    for index, ds in enumerate(many):
        ds.SOPInstanceUID = generate_uid()
        ds.ImagePositionPatient[0] += 10 * index
    assert read_volume([*many, *instances], LEARNING).shape[0] == 12, "however many there are"
    halves = instances[:6] + series(6, turn=turned(4))
    for ds in halves:
        ds.SeriesInstanceUID, ds.FrameOfReferenceUID = instances[0].SeriesInstanceUID, side.FrameOfReferenceUID
    assert refused(halves) is VolumeReason.MIXED_ORIENTATION, "neither half is the larger one"


@pytest.mark.parametrize(
    ("keyword", "name", "values"),
    [
        ("TemporalPositionIdentifier", "time", (1, 2, 10)),
        ("EchoTime", "echo", (9.5, 12, 105)),
        ("DiffusionBValue", "b-value", (0.0, 500.0, 1000.0)),
        ("AcquisitionNumber", "acquisition", (1, 2, 3)),
        ("TriggerTime", "trigger", (0, 80, 160)),
    ],
)
def test_several_volumes_at_one_place_are_told_apart_and_not_chosen_from(
    keyword: str, name: str, values: tuple[float, ...]
) -> None:
    first = series(6)
    instances = []
    for number, value in enumerate(values):
        for ds in copy.deepcopy(first):
            ds.SOPInstanceUID = generate_uid()
            ds.RescaleIntercept = number
            ds.ContentTime = f"1200{number:02d}"
            setattr(ds, keyword, value)
            instances.append(ds)
    random.Random(1).shuffle(instances)  # noqa: S311 - an order, not a secret
    assert refused(instances) is VolumeReason.SEVERAL_VOLUMES
    volumes = read_volumes(instances)
    assert [float(dict(volume.tells)[name]) for volume in volumes] == list(values)
    for number, volume in enumerate(volumes):
        np.testing.assert_array_equal(volume.array, read_volume(first).array + 1024 + number)
    chosen = read_volume(instances, VolumePolicy(several="first"))
    np.testing.assert_array_equal(chosen.array, volumes[0].array)


def test_as_few_attributes_as_will_do_tell_volumes_apart() -> None:
    first = series(5)
    instances = []
    for time in (1, 2):
        for echo in (10, 80):
            for ds in copy.deepcopy(first):
                ds.SOPInstanceUID, ds.TemporalPositionIdentifier, ds.EchoTime = generate_uid(), time, echo
                ds.RescaleIntercept, ds.TriggerTime = time + echo, len(instances)
                instances.append(ds)
    volumes = read_volumes(instances)
    assert [tuple(name for name, _ in volume.tells) for volume in volumes] == [("time", "echo")] * 4
    assert {volume.shape[0] for volume in volumes} == {5}
    for ds in instances:
        ds.TemporalPositionIdentifier = ds.EchoTime = 1
    assert refused(instances) is VolumeReason.DUPLICATE_POSITION, "each slice by itself is no volume"


def test_acquisitions_one_behind_the_other_are_one_volume() -> None:
    instances = series()
    for index, ds in enumerate(instances):
        ds.AcquisitionNumber, ds.TriggerTime = 1 + index // 6, 10 * index
    assert read_volume(instances).shape[0] == 12


@pytest.mark.parametrize("turn", [None, 6])
def test_an_enhanced_object_is_read_as_its_single_slices_are(turn: int | None) -> None:
    instances = series(turn=turned(turn))
    enhanced = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        legacy_datasets=instances,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )
    assert refused([enhanced], VolumePolicy()) is VolumeReason.MULTI_FRAME
    single, multi = read_volume(instances), read_volume([enhanced], LEARNING)
    np.testing.assert_allclose(multi.affine, single.affine, atol=1e-5)
    np.testing.assert_array_equal(multi.array, single.array)
    assert len(set(multi.sop_instance_uids)) == 1
    theirs = highdicom.Image.from_dataset(enhanced).get_volume()
    if np.dot(theirs.affine[:3, 0], multi.affine[:3, 0]) < 0:
        theirs = theirs.flip_spatial([0])
    np.testing.assert_allclose(multi.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(multi.array, theirs.array, atol=1e-3)


def test_a_segmentation_of_an_enhanced_object_lies_on_the_frames_that_it_names() -> None:
    enhanced = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        legacy_datasets=series(6, turn=turned(3)),
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )
    drawn = np.zeros((6, 20, 24), np.uint8)
    drawn[2, 3:9, 4:7] = drawn[3, 5:9, 4:12] = 1
    label = segmentation([enhanced], drawn)
    volume = read_volume([enhanced], LEARNING)
    mask = read_segmentation(label, volume)
    by_frame = np.array([mask[volume.frame_numbers.index(frame + 1)] for frame in range(6)])
    np.testing.assert_array_equal(by_frame, drawn.astype(bool))
    for group in label.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    np.testing.assert_array_equal(read_segmentation(label, volume), mask, err_msg="by the frame numbers alone")


def enhanced_mr(instances: list[Dataset], **per_frame: list[object]) -> Dataset:
    """One multi-frame object of slices, with `b_values` or `stacks` told in its functional groups."""
    ds = copy.deepcopy(instances[0])
    ds.NumberOfFrames = len(instances)
    frames = []
    for index, one in enumerate(instances):
        position, orientation, measures, content = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = one.ImagePositionPatient
        orientation.ImageOrientationPatient = one.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = one.PixelSpacing, one.SliceThickness
        content.StackID = str(per_frame["stacks"][index]) if "stacks" in per_frame else "1"
        group = Dataset()
        group.PlanePositionSequence, group.PlaneOrientationSequence = [position], [orientation]
        group.PixelMeasuresSequence, group.FrameContentSequence = [measures], [content]
        if "b_values" in per_frame:
            diffusion = Dataset()
            diffusion.DiffusionBValue = per_frame["b_values"][index]
            group.MRDiffusionSequence = [diffusion]
        frames.append(group)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [Dataset()], frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, keyword)
    put(ds, np.stack([one.pixel_array for one in instances]))
    return ds


def test_b_values_and_stacks_of_an_enhanced_object_are_told_apart() -> None:
    instances = series(5)
    both = [ds for ds in instances for _ in range(2)]
    b_values = enhanced_mr(both, b_values=[0.0, 1000.0] * 5)
    assert refused([b_values]) is VolumeReason.SEVERAL_VOLUMES
    low, high = read_volumes([b_values])
    assert (dict(low.tells), dict(high.tells)) == ({"b-value": "0.0"}, {"b-value": "1000.0"})
    np.testing.assert_array_equal(high.array, read_volume(instances).array)
    assert high.frame_numbers == (2, 4, 6, 8, 10)
    crossed = enhanced_mr([*instances, *series(3, turn=turned(2))], stacks=["1"] * 5 + ["2"] * 3)
    assert read_volume([crossed], LEARNING).shape[0] == 5
    assert refused([crossed], VolumePolicy(multi_frame="read")) is VolumeReason.MIXED_ORIENTATION


@pytest.mark.parametrize("representation", [0, 1], ids=["unsigned", "signed"])
@pytest.mark.parametrize("overlay", [False, True], ids=["clean", "overlay in the unused bits"])
def test_stored_bits_are_read_as_the_header_says(representation: int, overlay: bool) -> None:
    instances = series(3, PixelRepresentation=representation, RescaleSlope=0.5)
    truth = np.arange(480).reshape(20, 24) * 8 - (2048 if representation else 0)
    for ds in instances:
        stored = truth.astype(np.int16).view(np.uint16) & np.uint16(0x0FFF)
        put(ds, stored | np.uint16(0x4000) if overlay else stored)
    np.testing.assert_allclose(read_volume(instances).array[1], truth * 0.5 - 1024)


def test_brightness_of_monochrome1_is_turned_round_where_values_mean_nothing_by_themselves() -> None:
    plain = read_volume(series(4, modality="MR", RescaleIntercept=0)).array
    inverse = read_volume(series(4, modality="MR", RescaleIntercept=0, PhotometricInterpretation="MONOCHROME1")).array
    np.testing.assert_array_equal(inverse, 4095 - plain)
    signed = series(4, modality="MR", RescaleIntercept=0, PhotometricInterpretation="MONOCHROME1")
    for ds in signed:
        ds.PixelRepresentation = 1
        put(ds, ds.pixel_array.astype(np.int16) - 2000)
    np.testing.assert_array_equal(read_volume(signed).array, -1 - (plain - 2000))
    units = read_volume(series(4, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(units.array, read_volume(series(4)).array)
    assert units.unit == "HU"


def test_floating_point_pixels_are_read_and_holes_in_them_refused() -> None:
    instances = series(4, modality="PT", Units="BQML", RescaleSlope=2, RescaleIntercept=0)
    for index, ds in enumerate(instances):
        del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.RescaleType
        ds.BitsAllocated = 32
        ds.FloatPixelData = (np.full((20, 24), 0.25 + index, np.float32)).tobytes()
    volume = read_volume(instances)
    assert volume.unit == "BQML" and volume.array[:, 0, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    instances[1].FloatPixelData = np.full((20, 24), np.nan, np.float32).tobytes()
    assert refused(instances) is VolumeReason.UNSUPPORTED_PIXELS


def test_colour_is_refused_or_read_as_luminance_when_that_is_asked_for() -> None:
    instances = series(3, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    for ds in instances:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.PixelData = np.broadcast_to(np.array([200, 100, 50], np.uint8), (20, 24, 3)).tobytes()
    assert refused(instances) is VolumeReason.COLOUR
    grey = read_volume(instances, VolumePolicy(colour="luminance")).array
    np.testing.assert_allclose(grey, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, atol=1e-3)
    for ds in instances:
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "PALETTE COLOR"
    assert refused(instances) is VolumeReason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("representation", [0, 1], ids=["unsigned", "signed"])
def test_lossless_compression_changes_no_voxel(syntax: str, representation: int) -> None:
    instances = series(3, 48, 40, PixelRepresentation=representation)
    if representation:
        for ds in instances:
            ds.BitsStored, ds.HighBit = 16, 15
            put(ds, ds.pixel_array.astype(np.int16) - 1000)
    plain = read_volume(instances).array
    for ds in instances:
        if syntax == JPEG2000Lossless:
            # pydicom's own encoder for it needs one more package than its decoders do.
            ds.PixelData = encapsulate([encode_array(ds.pixel_array, photometric_interpretation=2, use_mct=False)])
            ds.file_meta.TransferSyntaxUID = syntax
        else:
            ds.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(read_volume(instances).array, plain)


def test_jpeg_lossless_as_scanners_write_it(tmp_path: Path) -> None:
    if not Path("/usr/bin/dcmcjpeg").exists():
        pytest.skip("needs dcmtk's dcmcjpeg")
    instances = series(3)
    compressed = []
    for index, ds in enumerate(instances):
        ds.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
        target = tmp_path / f"{index}.jpg.dcm"
        subprocess.run(["/usr/bin/dcmcjpeg", "+e1", tmp_path / f"{index}.dcm", target], check=True)
        compressed.append(pydicom.dcmread(target))
        assert compressed[-1].file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.70"
    np.testing.assert_array_equal(read_volume(compressed).array, read_volume(instances).array)
