"""The planes of a series: each single-frame instance, and each frame of an enhanced one, with what tells them apart.

Reads the Image Plane Module (DICOM PS3.3 section C.7.6.2) and the functional groups of multi-frame objects
(C.7.6.16, where a frame's own group goes before the shared one). Lengths are millimetres, coordinates LPS.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from wardround.dicom.volume_refusal import VolumeReason, VolumeRefused

_STACK_ID, _IN_STACK_POSITION, _POSITION = 0x00209056, 0x00209057, 0x00200032
_PLACING = frozenset({_STACK_ID, _IN_STACK_POSITION, _POSITION})
_MOST_FRAMES = 1 << 16

KEYS = (
    "stack",
    "time",
    "echo",
    "b-value",
    "direction",
    "acquisition",
    "kind",
    "trigger",
    "dimensions",
)
"""What may tell two volumes of one series apart, in the order in which it is tried."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice.

    instance: place of its object among those given. frame: from 0. shape: rows and columns. position, orientation:
    Image Position and Orientation (Patient). spacing: millimetres from row to row and from column to column.
    thickness: spacing between slices, else slice thickness, or None. slope, intercept: stored value to modality value.
    keys: one for each of `KEYS`, None where the object has none. localiser: Image Type or Frame Type says so.
    """

    instance: int
    frame: int
    uid: str
    frame_of_reference: str
    shape: tuple[int, int]
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: tuple[float, float]
    thickness: float | None
    slope: float
    intercept: float
    keys: tuple[Hashable, ...]
    localiser: bool


def planes_of(datasets: Sequence[Dataset]) -> list[Plane]:
    """All planes of the instances, in the order given.

    Raises:
        VolumeRefused: a plane lacks its geometry, or has one that can't be.
    """
    return [_plane(ds, index, frame) for index, ds in enumerate(datasets) for frame in range(_frames(ds))]


def is_multi_frame(ds: Dataset) -> bool:
    """Whether the object is of a multi-frame class, be it of one frame."""
    return str(ds.get("NumberOfFrames") or 1) != "1" or "PerFrameFunctionalGroupsSequence" in ds


def _frames(ds: Dataset) -> int:
    told = ds.get("NumberOfFrames")
    count = 1 if told in (None, "") else int(told)
    if not 1 <= count <= _MOST_FRAMES:
        raise VolumeRefused(VolumeReason.TOO_LARGE, f"an instance of {count} frames can't be read as slices")
    if count > 1 and "SharedFunctionalGroupsSequence" not in ds and "PerFrameFunctionalGroupsSequence" not in ds:
        raise VolumeRefused(
            VolumeReason.MULTI_FRAME, "a multi-frame image doesn't say where its frames lie; send it as single slices"
        )
    return count


def _plane(ds: Dataset, instance: int, frame: int) -> Plane:
    find = _finder(ds, frame)
    cosines = _numbers(find("PlaneOrientationSequence", "ImageOrientationPatient"), "ImageOrientationPatient", 6)
    spacing = _numbers(find("PixelMeasuresSequence", "PixelSpacing"), "PixelSpacing", 2)
    if (spacing <= 0).any():
        raise VolumeRefused(VolumeReason.INVALID_GEOMETRY, "the pixel spacing is not two numbers above zero")
    rows, columns = int(ds.Rows), int(ds.Columns)
    if min(rows, columns) < 1:
        raise VolumeRefused(VolumeReason.INVALID_GEOMETRY, "a slice has no pixels")
    kind = _kind(ds, find)
    return Plane(
        instance=instance,
        frame=frame,
        uid=str(ds.SOPInstanceUID),
        frame_of_reference=str(ds.get("FrameOfReferenceUID") or ""),
        shape=(rows, columns),
        position=_numbers(find("PlanePositionSequence", "ImagePositionPatient"), "ImagePositionPatient", 3),
        orientation=_unit(cosines),
        spacing=(float(spacing[0]), float(spacing[1])),
        thickness=_thickness(find),
        slope=_number(find("PixelValueTransformationSequence", "RescaleSlope"), 1.0),
        intercept=_number(find("PixelValueTransformationSequence", "RescaleIntercept"), 0.0),
        keys=(
            _key(find("FrameContentSequence", "StackID")),
            _key(find("FrameContentSequence", "TemporalPositionIndex") or ds.get("TemporalPositionIdentifier")),
            _key(find("MREchoSequence", "EffectiveEchoTime") or ds.get("EchoTime")),
            _key(find("MRDiffusionSequence", "DiffusionBValue")),
            _direction(find),
            _key(find("FrameContentSequence", "FrameAcquisitionNumber") or ds.get("AcquisitionNumber")),
            kind,
            _key(find("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime") or ds.get("TriggerTime")),
            _dimensions(ds, find),
        ),
        localiser="LOCALIZER" in kind,
    )


def _finder(ds: Dataset, frame: int) -> Callable[[str, str], Any]:
    """Looks an attribute up in a macro of the frame's functional groups, then of the shared ones, then at the top."""
    groups: list[Dataset] = []
    per_frame = ds.get("PerFrameFunctionalGroupsSequence")
    if per_frame:
        if frame >= len(per_frame):
            raise VolumeRefused(VolumeReason.UNREADABLE, "an object has fewer functional groups than frames")
        groups.append(per_frame[frame])
    groups += list(ds.get("SharedFunctionalGroupsSequence") or ())[:1]

    def find(macro: str, keyword: str) -> Any:
        for group in groups:
            items = group.get(macro)
            if items and items[0].get(keyword) not in (None, ""):
                return items[0].get(keyword)
        return ds.get(keyword)

    return find


def _thickness(find: Callable[[str, str], Any]) -> float | None:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = find("PixelMeasuresSequence", keyword)
        if value not in (None, ""):
            # Spacing Between Slices is negative for some scanners that number slices downwards.
            number = abs(float(_numbers(value, keyword, 1)[0]))
            if number > 0:
                return number
    return None


def _kind(ds: Dataset, find: Callable[[str, str], Any]) -> tuple[str, ...]:
    for macro in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
        value = find(macro, "FrameType")
        if value:
            return tuple(str(part) for part in value)
    value = ds.get("ImageType")
    return () if value is None else (value,) if isinstance(value, str) else tuple(str(part) for part in value)


def _direction(find: Callable[[str, str], Any]) -> Hashable:
    nested = find("MRDiffusionSequence", "DiffusionGradientDirectionSequence")
    value = nested[0].get("DiffusionGradientOrientation") if nested else find("", "DiffusionGradientOrientation")
    return None if value is None else tuple(round(float(part), 4) for part in value)


def _dimensions(ds: Dataset, find: Callable[[str, str], Any]) -> Hashable:
    """The frame's dimension index values but for those that say where it lies (PS3.3 C.7.6.17)."""
    values = find("FrameContentSequence", "DimensionIndexValues")
    if values is None:
        return None
    values = [int(value) for value in (values if hasattr(values, "__iter__") else [values])]
    pointers = [item.get("DimensionIndexPointer") for item in ds.get("DimensionIndexSequence") or ()]
    if len(pointers) != len(values):
        return tuple(values)
    return tuple(
        value
        for value, pointer in zip(values, pointers, strict=True)
        if not (isinstance(pointer, (BaseTag, int)) and int(pointer) in _PLACING)
    )


def _unit(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    row, column = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if np.abs(np.array(lengths) - 1).max() > 0.01 or abs(float(row @ column)) > 0.01:
        raise VolumeRefused(VolumeReason.INVALID_GEOMETRY, "the orientation is not two unit vectors at a right angle")
    return np.concatenate([row / lengths[0], column / lengths[1]])


def _numbers(value: Any, keyword: str, count: int) -> NDArray[np.float64]:
    if value is None or value == "":
        raise VolumeRefused(VolumeReason.MISSING_GEOMETRY, f"a slice lacks the attribute {keyword}")
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise VolumeRefused(VolumeReason.INVALID_GEOMETRY, f"{keyword} should hold {count} finite numbers and does not")
    return numbers


def _number(value: Any, neutral: float) -> float:
    return neutral if value in (None, "") else float(value)


def _key(value: Any) -> Hashable:
    return None if value in (None, "") else str(value)
