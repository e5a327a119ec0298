"""Where the slices of a series lie in the patient, and whether they form one regular grid.

Reads the Image Plane Module (DICOM PS3.3 section C.7.6.2). Coordinates are millimetres in the DICOM patient
frame, LPS: x grows towards the patient's left, y towards the back, z towards the head. Slices are ordered by
their distance along the normal, which is the row direction crossed with the column direction.
"""

import io
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

Source = Path | bytes | Dataset

DAMAGE: tuple[type[Exception], ...] = (
    BytesLengthException,
    InvalidDicomError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom is known to raise on bytes that are not a sound DICOM object."""

_SAME_PLACE_MM = 0.01
_SAME_DIRECTION = 1e-3
_UNEVEN = 0.05
_MAX_VOXELS = 1 << 29


class VolumeReason(StrEnum):
    """Why a series was refused as a volume; stable codes, fit for counting and for display."""

    NO_INSTANCES = "no_instances"
    UNREADABLE = "unreadable"
    MULTI_FRAME = "multi_frame"
    MISSING_GEOMETRY = "missing_geometry"
    INVALID_GEOMETRY = "invalid_geometry"
    MIXED_SERIES = "mixed_series"
    MIXED_FRAME_OF_REFERENCE = "mixed_frame_of_reference"
    MIXED_ORIENTATION = "mixed_orientation"
    MIXED_SIZE = "mixed_size"
    MIXED_SPACING = "mixed_spacing"
    DUPLICATE_INSTANCE = "duplicate_instance"
    DUPLICATE_POSITION = "duplicate_position"
    UNEVEN_SPACING = "uneven_spacing"
    MISSING_SLICES = "missing_slices"
    SEVERAL_VOLUMES = "several_volumes"
    SHEARED = "sheared"
    COLOUR = "colour"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    TOO_LARGE = "too_large"


class VolumeRefused(ValueError):
    """A series that cannot be read as one regular volume. The text carries no identifier and no path."""

    def __init__(self, reason_code: VolumeReason, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code


@dataclass(frozen=True, slots=True)
class VolumeGeometry:
    """The regular grid of a series.

    affine: float64 (4, 4), maps the array index (z, y, x, 1), that is slice, row, column, to LPS millimetres.
    spacing: millimetres along (z, y, x). shape: voxels along (z, y, x).
    """

    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]


def open_instance(source: Source) -> Dataset:
    """The dataset of one instance; raises VolumeRefused (unreadable) for what is not DICOM."""
    if isinstance(source, Dataset):
        return source
    try:
        return pydicom.dcmread(io.BytesIO(source) if isinstance(source, bytes) else source)
    except DAMAGE as damage:
        raise VolumeRefused(
            VolumeReason.UNREADABLE,
            "an instance cannot be read as DICOM Part 10; ask the sender to send the series again",
        ) from damage


def order_slices(instances: Sequence[Source]) -> tuple[list[Dataset], VolumeGeometry]:
    """The instances of one series in slice order, and the grid that they form.

    Raises VolumeRefused if they are not single-frame images of one series on one regular grid.
    """
    if not instances:
        raise VolumeRefused(VolumeReason.NO_INSTANCES, "the series holds no instance")
    datasets = [open_instance(source) for source in instances]
    try:
        return _order(datasets)
    except VolumeRefused:
        raise
    except DAMAGE as damage:
        raise VolumeRefused(
            VolumeReason.UNREADABLE, "an instance holds an attribute value that cannot be read"
        ) from damage


def _order(datasets: list[Dataset]) -> tuple[list[Dataset], VolumeGeometry]:
    if any(_text(ds, "NumberOfFrames") not in ("", "1") for ds in datasets):
        raise VolumeRefused(VolumeReason.MULTI_FRAME, "the series holds a multi-frame image; send it as single slices")
    _one_value(datasets, "SeriesInstanceUID", VolumeReason.MIXED_SERIES, "series")
    _one_value(datasets, "FrameOfReferenceUID", VolumeReason.MIXED_FRAME_OF_REFERENCE, "frame of reference")
    if len({_text(ds, "SOPInstanceUID") for ds in datasets}) != len(datasets):
        raise VolumeRefused(VolumeReason.DUPLICATE_INSTANCE, "the series holds the same instance twice")
    rows, columns = (
        _common(datasets, "Rows", 1, VolumeReason.MIXED_SIZE, "number of rows"),
        _common(datasets, "Columns", 1, VolumeReason.MIXED_SIZE, "number of columns"),
    )
    shape = (len(datasets), int(rows[0]), int(columns[0]))
    if min(shape) < 1:
        raise VolumeRefused(VolumeReason.INVALID_GEOMETRY, "a slice has no pixels")
    if math.prod(shape) > _MAX_VOXELS:
        raise VolumeRefused(
            VolumeReason.TOO_LARGE, f"{math.prod(shape)} voxels are more than the limit of {_MAX_VOXELS}"
        )
    pixel_spacing = _common(datasets, "PixelSpacing", 2, VolumeReason.MIXED_SPACING, "pixel spacing")
    if pixel_spacing.min() <= 0:
        raise VolumeRefused(VolumeReason.INVALID_GEOMETRY, "the pixel spacing is not positive")
    along_row, along_column = _directions(datasets)
    normal = np.cross(along_row, along_column)
    positions = np.array([_numbers(ds, "ImagePositionPatient", 3) for ds in datasets])
    order = np.argsort(positions @ normal, kind="stable")
    datasets, positions = [datasets[i] for i in order], positions[order]
    step = _step(datasets, positions, normal)
    affine = np.eye(4)
    affine[:3, 0] = normal * step
    affine[:3, 1] = along_column * pixel_spacing[0]
    affine[:3, 2] = along_row * pixel_spacing[1]
    affine[:3, 3] = positions[0]
    spacing = (step, float(pixel_spacing[0]), float(pixel_spacing[1]))
    return datasets, VolumeGeometry(affine=affine, spacing=spacing, shape=shape)


def _directions(datasets: list[Dataset]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    cosines = _common(
        datasets, "ImageOrientationPatient", 6, VolumeReason.MIXED_ORIENTATION, "orientation", _SAME_DIRECTION
    )
    along_row, along_column = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if np.abs(np.array(lengths) - 1).max() > 0.01 or abs(float(along_row @ along_column)) > 0.01:
        raise VolumeRefused(VolumeReason.INVALID_GEOMETRY, "the orientation is not two unit vectors at a right angle")
    return along_row / lengths[0], along_column / lengths[1]


def _step(datasets: list[Dataset], positions: NDArray[np.float64], normal: NDArray[np.float64]) -> float:
    """Millimetres between neighbouring slices, once they are shown to be even and stacked straight."""
    if len(datasets) == 1:
        for keyword in ("SpacingBetweenSlices", "SliceThickness"):
            if _text(datasets[0], keyword) not in ("", "None"):
                thickness = abs(float(_numbers(datasets[0], keyword, 1)[0]))
                if thickness > 0:
                    return thickness
        raise VolumeRefused(
            VolumeReason.MISSING_GEOMETRY, "a single slice has neither slice thickness nor slice spacing"
        )
    steps = np.diff(positions @ normal)
    if steps.min() < _SAME_PLACE_MM:
        raise VolumeRefused(
            VolumeReason.DUPLICATE_POSITION,
            f"{int((steps < _SAME_PLACE_MM).sum())} of {len(datasets)} slices lie where another slice lies",
        )
    step = float(np.median(steps))
    uneven = np.abs(steps - step) > max(_UNEVEN * step, _SAME_PLACE_MM)
    if uneven.any():
        raise VolumeRefused(
            VolumeReason.UNEVEN_SPACING,
            f"slices are {step:.2f} mm apart, but {int(uneven.sum())} of {len(steps)} steps differ, up to "
            f"{float(steps[uneven].max()):.2f} mm; slices may be missing",
        )
    drift = positions - positions[0] - np.outer((positions - positions[0]) @ normal, normal)
    if float(np.linalg.norm(drift, axis=1).max()) > max(_UNEVEN * step, 10 * _SAME_PLACE_MM):
        raise VolumeRefused(VolumeReason.SHEARED, "the slices are not stacked along their normal (tilted acquisition)")
    return float(steps.mean())


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return "" if value is None else str(value)


def _one_value(datasets: list[Dataset], keyword: str, reason: VolumeReason, name: str) -> None:
    count = len({_text(ds, keyword) for ds in datasets})
    if count != 1:
        raise VolumeRefused(reason, f"the instances belong to {count} different values of {name}")


def _common(
    datasets: list[Dataset],
    keyword: str,
    count: int,
    reason: VolumeReason,
    name: str,
    tolerance: float = 1e-4,
) -> NDArray[np.float64]:
    values = np.array([_numbers(ds, keyword, count) for ds in datasets])
    if float(np.abs(values - values[0]).max()) > tolerance:
        raise VolumeRefused(reason, f"the slices do not share one {name}")
    common: NDArray[np.float64] = values[0]
    return common


def _numbers(ds: Dataset, keyword: str, count: int) -> NDArray[np.float64]:
    value: Any = ds.get(keyword)
    if value is None or value == "":
        raise VolumeRefused(VolumeReason.MISSING_GEOMETRY, f"a slice lacks the attribute {keyword}")
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise VolumeRefused(VolumeReason.INVALID_GEOMETRY, f"{keyword} should hold {count} finite numbers and does not")
    return numbers
