"""Reads binary DICOM SEG objects onto the grid of the series that they segment, without importing highdicom.

Implements the reading side of DICOM PS3.3 section C.8.20 (BINARY) and of the packing of one-bit pixels in PS3.5
section 8.1.1: frames follow each other bit by bit, lowest bit first, with no padding between them.
"""

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from wardround.dicom.damage import DAMAGE
from wardround.dicom.volume import Volume
from wardround.dicom.volume_refusal import Source, VolumeRefused, open_instance

_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
_SAME_PLACE = 0.1
_SAME_DIRECTION = 1e-3


class SegmentationReason(StrEnum):
    """Why a segmentation was refused; stable codes, fit for counting and for display."""

    UNREADABLE = "unreadable"
    NOT_BINARY_SEGMENTATION = "not_binary_segmentation"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    NO_SUCH_SEGMENT = "no_such_segment"
    SEVERAL_SEGMENTS = "several_segments"
    REFERENCED_SERIES_UNCLEAR = "referenced_series_unclear"
    OTHER_SERIES = "other_series"
    OTHER_SIZE = "other_size"
    OTHER_GRID = "other_grid"
    UNMATCHED_FRAME = "unmatched_frame"


class SegmentationRefused(ValueError):
    """A segmentation that cannot be laid on the volume. The text carries no identifier and no path."""

    def __init__(self, reason_code: SegmentationReason, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code


def referenced_series_uid(seg: Source) -> str:
    """The Series Instance UID of the one series that the object segments.

    Raises SegmentationRefused where it is not a binary segmentation or does not name exactly one series.
    """
    ds = _open(seg)
    try:
        series = {str(item.SeriesInstanceUID) for item in ds.get("ReferencedSeriesSequence") or ()}
    except DAMAGE as damage:
        raise _damaged() from damage
    if len(series) != 1:
        raise SegmentationRefused(
            SegmentationReason.REFERENCED_SERIES_UNCLEAR,
            f"the segmentation names {len(series)} series; it must name the one that it was drawn on",
        )
    return series.pop()


def read_segmentation(seg: Source, volume: Volume, *, segment_number: int | None = None) -> NDArray[np.bool_]:
    """The mask, bool (Z, Y, X), on the grid of `volume`; slices without a frame are False.

    A frame belongs to the slice whose SOP Instance UID it references and must lie where that slice lies; a frame
    without a reference is placed by its position alone, which asks for the volume's frame of reference.
    segment_number: which segment to read; needed only where there are several.
    Raises SegmentationRefused.
    """
    ds = _open(seg)
    try:
        return _read(ds, volume, segment_number)
    except SegmentationRefused:
        raise
    except DAMAGE as damage:
        raise _damaged() from damage


def _open(seg: Source) -> Dataset:
    try:
        ds = open_instance(seg)
    except VolumeRefused as refused:
        raise SegmentationRefused(SegmentationReason.UNREADABLE, str(refused)) from refused
    if ds.get("SOPClassUID") != _STORAGE or ds.get("SegmentationType") != "BINARY":
        raise SegmentationRefused(
            SegmentationReason.NOT_BINARY_SEGMENTATION, "the object is not a DICOM SEG of type BINARY"
        )
    return ds


def _damaged() -> SegmentationRefused:
    return SegmentationRefused(
        SegmentationReason.UNREADABLE, "the segmentation is damaged or lacks a required attribute"
    )


def _read(ds: Dataset, volume: Volume, segment_number: int | None) -> NDArray[np.bool_]:
    if (ds.Rows, ds.Columns) != volume.shape[1:]:
        raise SegmentationRefused(
            SegmentationReason.OTHER_SIZE, "the segmentation's rows and columns are not those of the series"
        )
    numbers = [int(item.SegmentNumber) for item in ds.SegmentSequence]
    if segment_number is None:
        if len(numbers) != 1:
            raise SegmentationRefused(
                SegmentationReason.SEVERAL_SEGMENTS,
                f"the segmentation holds {len(numbers)} segments; say which one to read",
            )
        segment_number = numbers[0]
    elif segment_number not in numbers:
        raise SegmentationRefused(
            SegmentationReason.NO_SUCH_SEGMENT, f"the segmentation has no segment {segment_number}"
        )
    frames = _frames(ds)
    functional_groups = ds.PerFrameFunctionalGroupsSequence
    if len(functional_groups) != len(frames):
        raise _damaged()
    shared = ds.SharedFunctionalGroupsSequence[0]
    placing = _Placing(ds, shared, volume)
    mask = np.zeros(volume.shape, dtype=np.bool_)
    for groups, frame in zip(functional_groups, frames, strict=True):
        identified = _group(groups, shared, "SegmentIdentificationSequence")
        if identified is None or int(identified.ReferencedSegmentNumber) == segment_number:
            mask[placing.slice_of(groups)] |= frame
    return mask


def _frames(ds: Dataset) -> NDArray[np.bool_]:
    syntax = ds.file_meta.TransferSyntaxUID if hasattr(ds, "file_meta") else ExplicitVRLittleEndian
    if syntax not in _NATIVE or ds.BitsAllocated != 1:
        raise SegmentationRefused(
            SegmentationReason.UNSUPPORTED_ENCODING,
            "the frames are compressed or not one bit a pixel; send the segmentation uncompressed",
        )
    count, rows, columns = int(ds.NumberOfFrames), int(ds.Rows), int(ds.Columns)
    packed = np.frombuffer(ds.PixelData, dtype=np.uint8)
    if count < 1 or packed.size * 8 < count * rows * columns:
        raise _damaged()
    bits = np.unpackbits(packed, count=count * rows * columns, bitorder="little")
    return bits.reshape(count, rows, columns).astype(np.bool_)


def _group(groups: Dataset, shared: Dataset, keyword: str) -> Any:
    sequence = groups.get(keyword) or shared.get(keyword)
    return sequence[0] if sequence else None


class _Placing:
    """Finds the slice that a frame belongs to, and checks that it lies there."""

    def __init__(self, ds: Dataset, shared: Dataset, volume: Volume) -> None:
        self._shared = shared
        self._volume = volume
        self._by_uid: dict[str, dict[int, int]] = {}
        for index, uid in enumerate(volume.sop_instance_uids):
            frame = volume.frame_numbers[index] if volume.frame_numbers else 1
            self._by_uid.setdefault(uid, {})[frame] = index
        self._same_frame_of_reference = str(ds.get("FrameOfReferenceUID", "")) == volume.frame_of_reference_uid != ""
        along = [volume.affine[:3, axis] / volume.spacing[axis] for axis in range(3)]
        self._cosines = np.concatenate([along[2], along[1]])
        self._spacing = np.array(volume.spacing[1:])

    def slice_of(self, groups: Dataset) -> int:
        self._check_plane(groups)
        sources = _sources(_group(groups, self._shared, "DerivationImageSequence"))
        position = _group(groups, self._shared, "PlanePositionSequence")
        if sources:
            slices = self._named(sources)
            if len(slices) > 1 and position is not None:
                slices &= {self._at(position)}
            if len(slices) != 1:
                raise SegmentationRefused(
                    SegmentationReason.OTHER_SERIES, "a frame references images that are not in the series"
                )
            index = slices.pop()
            if position is not None and self._at(position) != index:
                raise SegmentationRefused(
                    SegmentationReason.OTHER_GRID, "a frame does not lie where the slice that it names lies"
                )
            return index
        if position is None or not self._same_frame_of_reference:
            raise SegmentationRefused(
                SegmentationReason.UNMATCHED_FRAME,
                "a frame names no source image and cannot be placed by its position",
            )
        return self._at(position)

    def _named(self, sources: list[tuple[str, tuple[int, ...]]]) -> set[int]:
        """The slices that a frame says it was drawn on; of a multi-frame image without frame numbers, all of its."""
        named: set[int] = set()
        for uid, frames in sources:
            slices = self._by_uid.get(uid, {})
            told = {slices[frame] for frame in frames if frame in slices}
            named |= told if told and len(slices) > 1 else set(slices.values())
        return named

    def _at(self, position: Dataset) -> int:
        corner = np.asarray(position.ImagePositionPatient, dtype=np.float64)
        affine = self._volume.affine
        slice_, row, column = np.linalg.solve(affine[:3, :3], corner - affine[:3, 3])
        index = round(float(slice_))
        if max(abs(slice_ - index), abs(row), abs(column)) > _SAME_PLACE or not (0 <= index < self._volume.shape[0]):
            raise SegmentationRefused(
                SegmentationReason.OTHER_GRID, "a frame lies on no slice of the series; the grids differ"
            )
        return index

    def _check_plane(self, groups: Dataset) -> None:
        orientation = _group(groups, self._shared, "PlaneOrientationSequence")
        measures = _group(groups, self._shared, "PixelMeasuresSequence")
        turned = orientation is not None and not np.allclose(
            np.asarray(orientation.ImageOrientationPatient, dtype=np.float64), self._cosines, atol=_SAME_DIRECTION
        )
        scaled = measures is not None and not np.allclose(
            np.asarray(measures.PixelSpacing, dtype=np.float64), self._spacing, rtol=1e-3
        )
        if turned or scaled:
            raise SegmentationRefused(
                SegmentationReason.OTHER_GRID, "a frame's orientation or pixel spacing is not the series'"
            )


def _sources(derivation: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The instances that a frame was derived from, each with its frame numbers where it is multi-frame."""
    if derivation is None:
        return []
    found = []
    for item in derivation.get("SourceImageSequence") or ():
        frames = item.get("ReferencedFrameNumber")
        numbers = () if frames in (None, "") else frames if hasattr(frames, "__iter__") else (frames,)
        found.append((str(item.ReferencedSOPInstanceUID), tuple(int(number) for number in numbers)))
    return found
