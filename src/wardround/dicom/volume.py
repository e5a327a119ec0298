"""A series as one float volume in the patient's frame.

What is done with series that aren't one plain stack of slices is said by a `VolumePolicy`; docs/how-to/volumes.md
has the whole table. Every refusal has a code of `VolumeReason`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from wardround.dicom.damage import DAMAGE
from wardround.dicom.volume_pixels import read_plane, same_pixels
from wardround.dicom.volume_planes import is_multi_frame, planes_of
from wardround.dicom.volume_refusal import Source, VolumeReason, VolumeRefused, open_instance
from wardround.dicom.volume_stacks import LEARNING, MAX_VOXELS, STRICT, Stack, VolumePolicy, stacks_of

__all__ = [
    "LEARNING",
    "STRICT",
    "Grid",
    "Stacked",
    "Volume",
    "VolumePolicy",
    "VolumeReason",
    "VolumeRefused",
    "check_volume",
    "read_volume",
    "read_volumes",
    "straighten",
    "volumes_in",
]


@dataclass(frozen=True, slots=True)
class Volume:
    """One series on one regular grid.

    array: float32 (Z, Y, X) = (slices, rows, columns), after rescale slope and intercept; see `unit`.
    affine: float64 (4, 4), maps the array index (z, y, x, 1) to millimetres in the DICOM patient frame (LPS). Its
        first column isn't along the normal of the slices where the acquisition was tilted.
    spacing: millimetres along (z, y, x), the first along the normal of the slices.
    sop_instance_uids: one per slice, in the order of the first axis of `array`; empty for an interpolated slice.
    frame_numbers: of each slice the frame within its instance, from 1.
    unit: Units (0054,1001) of PET, `HU` for CT, else Rescale Type (0028,1054); empty where the values mean nothing
        by themselves, as in MR. Nothing is converted to it.
    filled: the slices that were interpolated between their neighbours.
    tells: what sets this volume apart from others of its series (`wardround.dicom.volume_planes.KEYS`).
    """

    array: NDArray[np.float32]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    sop_instance_uids: tuple[str, ...]
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str
    frame_numbers: tuple[int, ...] = ()
    unit: str = ""
    filled: tuple[int, ...] = ()
    tells: tuple[tuple[str, str], ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        slices, rows, columns = self.array.shape
        return slices, rows, columns

    @property
    def tilted(self) -> bool:
        """Whether the grid is sheared, more than a tenth of a pixel over all slices."""
        return max(map(abs, _slide(self))) * (self.shape[0] - 1) > 0.1


def read_volume(instances: Sequence[Source], policy: VolumePolicy = STRICT, *, which: int | None = None) -> Volume:
    """Reads one series (DICOM PS3.3 sections C.7.6.2 Image Plane, C.7.6.3 Image Pixel, C.7.6.16 multi-frame).

    instances: paths, Part 10 bytes or datasets, in any order; the instance numbers are ignored.
    which: of several volumes at one place that one, counted from 0 in the order of `volumes_in`, whatever `policy` says
        of several.
    Raises VolumeRefused where they are not one regular stack of slices that `policy` accepts, or hold no such volume.
    """
    datasets, stack = _only(instances, policy, which)
    with _damage_refused():
        return _volume(datasets, stack, policy)


def volumes_in(instances: Sequence[Source], policy: VolumePolicy = STRICT) -> list[tuple[tuple[str, str], ...]]:
    """What sets each volume of a series apart from the others, as `Volume.tells`: nothing of the only one there is. By
    the headers, pixels as in `check_volume`.

    Raises VolumeRefused as `check_volume` does, but not for there being several.
    """
    return [stack.tells for stack in _read(instances, policy)[1]]


def check_volume(instances: Sequence[Source], policy: VolumePolicy = STRICT) -> None:
    """Whether the headers of a series say that it is one volume. Pixels are looked at only where two instances lie at
    one place, so that datasets may have theirs deferred.

    Raises VolumeRefused as `read_volume` does, but for what the pixels alone tell.
    """
    Stacked.of(instances, policy)


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the voxels of a series lie: shape (slices, rows, columns), and spacing and affine as of a `Volume`."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stacked:
    """A series whose slices are found to be one stack by their headers; pixels as in `check_volume`.

    datasets: the instances as they were given.
    """

    datasets: list[Dataset]
    stack: Stack
    policy: VolumePolicy

    @classmethod
    def of(cls, instances: Sequence[Source], policy: VolumePolicy = STRICT) -> Stacked:
        """Raises VolumeRefused as `check_volume` does."""
        datasets, stack = _only(instances, policy)
        return cls(datasets, stack, policy)

    @property
    def grid(self) -> Grid:
        """The grid that the volume has."""
        stack = self.stack
        return Grid((len(stack.planes), *stack.first.shape), (stack.distance, *stack.first.spacing), stack.affine)

    @property
    def ordered(self) -> list[Dataset]:
        """The instances in the order of the slices."""
        return [self.datasets[plane.instance] for plane in self.stack.planes if plane is not None]

    def volume(self) -> Volume:
        """Raises VolumeRefused as `read_volume` does."""
        with _damage_refused():
            return _volume(self.datasets, self.stack, self.policy)


def read_volumes(instances: Sequence[Source], policy: VolumePolicy = LEARNING) -> list[Volume]:
    """All volumes of one series: its time points, echoes or b-values, in the order of what tells them apart.

    Raises VolumeRefused as `read_volume` does, but not for there being several.
    """
    datasets, stacks = _read(instances, policy)
    with _damage_refused():
        return [_volume(datasets, stack, policy) for stack in stacks]


def straighten(volume: Volume, mask: NDArray[np.bool_] | None = None) -> tuple[Volume, NDArray[np.bool_] | None]:
    """The volume, and a mask on its grid, on an upright grid of the same slices.

    Each slice of a tilted acquisition is moved within its plane: values by linear interpolation, the mask to the
    nearest voxel. Rows and columns are added so that nothing is cut off; what no slice covers holds the lowest value
    of the volume. Slices, spacing and the order of both stay.

    Raises:
        VolumeRefused: the upright grid would be too large.
    """
    if not volume.tilted:
        return volume, mask
    slices, rows, columns = volume.shape
    slide = _slide(volume)
    # To a thousandth of a pixel: headers hold no more, and noise below it must not add a row.
    moves = np.round(np.outer(np.arange(slices), slide), 3)
    start = np.floor(moves.min(axis=0))
    extent = np.ceil(moves.max(axis=0)) - start
    shape = (slices, rows + int(extent[0]), columns + int(extent[1]))
    if math.prod(shape) > MAX_VOXELS:
        raise VolumeRefused(VolumeReason.TOO_LARGE, "the tilted series would fill too large an upright grid")
    outside = volume.array.min()
    array = np.full(shape, outside, dtype=np.float32)
    moved = None if mask is None else np.zeros(shape, dtype=np.bool_)
    for index in range(slices):
        offset = moves[index] - start
        whole, part = np.floor(offset).astype(int), offset - np.floor(offset)
        slice_ = _shifted(volume.array[index], float(part[0]), 0, outside)
        slice_ = _shifted(slice_, float(part[1]), 1, outside)
        # The shifted slice has a row and a column more, of which what is beyond the grid holds nothing.
        y, x = int(whole[0]), int(whole[1])
        here = array[index, y : y + rows + 1, x : x + columns + 1]
        here[:] = slice_[: here.shape[0], : here.shape[1]]
        if moved is not None and mask is not None:
            y, x = (int(value) for value in np.rint(offset))
            moved[index, y : y + rows, x : x + columns] = mask[index]
    affine = volume.affine.copy()
    affine[:3, 0] -= affine[:3, 1] * slide[0] + affine[:3, 2] * slide[1]
    affine[:3, 3] += affine[:3, 1] * start[0] + affine[:3, 2] * start[1]
    return replace(volume, array=array, affine=affine), moved


def _slide(volume: Volume) -> tuple[float, float]:
    """Rows and columns by which a slice lies beside the one before it."""
    step, along_rows, along_columns = (volume.affine[:3, axis] for axis in range(3))
    return (
        float(step @ along_rows / (along_rows @ along_rows)),
        float(step @ along_columns / (along_columns @ along_columns)),
    )


def _shifted(image: NDArray[np.float32], part: float, axis: int, outside: np.float32) -> NDArray[np.float32]:
    """The image moved by a part of a pixel towards higher indices, one row or column larger."""
    before, after = ((1, 0), (0, 0)), ((0, 1), (0, 0))
    if axis:
        before, after = (before[1], before[0]), (after[1], after[0])
    moved: NDArray[np.float32] = np.float32(1 - part) * np.pad(image, after, constant_values=outside)
    moved += np.float32(part) * np.pad(image, before, constant_values=outside)
    return moved


def _read(instances: Sequence[Source], policy: VolumePolicy) -> tuple[list[Dataset], list[Stack]]:
    if not instances:
        raise VolumeRefused(VolumeReason.NO_INSTANCES, "the series holds no instance")
    datasets = [open_instance(source) for source in instances]
    with _damage_refused():
        series = {str(ds.get("SeriesInstanceUID", "")) for ds in datasets}
        if len(series) != 1:
            raise VolumeRefused(
                VolumeReason.MIXED_SERIES, f"the instances belong to {len(series)} different values of series"
            )
        if policy.copies == "refuse" and len({str(ds.SOPInstanceUID) for ds in datasets}) != len(datasets):
            raise VolumeRefused(VolumeReason.DUPLICATE_INSTANCE, "the series holds the same instance twice")
        if policy.multi_frame == "refuse" and any(is_multi_frame(ds) for ds in datasets):
            raise VolumeRefused(
                VolumeReason.MULTI_FRAME, "the series holds a multi-frame image; send it as single slices"
            )
        planes = planes_of(datasets)
        return datasets, stacks_of(planes, policy, lambda one, other: same_pixels(datasets, one, other))


@contextmanager
def _damage_refused() -> Iterator[None]:
    try:
        yield
    except VolumeRefused:
        raise
    except DAMAGE as damage:
        raise VolumeRefused(
            VolumeReason.UNREADABLE, "an instance holds an attribute value that cannot be read"
        ) from damage


def _only(instances: Sequence[Source], policy: VolumePolicy, which: int | None = None) -> tuple[list[Dataset], Stack]:
    datasets, stacks = _read(instances, policy)
    if which is not None:
        if not 0 <= which < len(stacks):
            raise VolumeRefused(VolumeReason.NO_INSTANCES, f"the series holds {len(stacks)} volumes, and none such")
        return datasets, stacks[which]
    if len(stacks) > 1 and policy.several == "refuse":
        told = " and ".join(dict.fromkeys(name for stack in stacks for name, _ in stack.tells))
        raise VolumeRefused(
            VolumeReason.SEVERAL_VOLUMES, f"the series holds {len(stacks)} volumes at one place, which differ in {told}"
        )
    return datasets, stacks[0]


def _volume(datasets: Sequence[Dataset], stack: Stack, policy: VolumePolicy) -> Volume:
    array = np.empty((len(stack.planes), *stack.first.shape), dtype=np.float32)
    for index, plane in enumerate(stack.planes):
        if plane is not None:
            read_plane(datasets[plane.instance], plane, policy, array[index])
    filled = tuple(index for index, plane in enumerate(stack.planes) if plane is None)
    for index in filled:
        np.add(array[index - 1], array[index + 1], out=array[index])
        array[index] *= np.float32(0.5)
    first = datasets[stack.first.instance]
    return Volume(
        array=array,
        affine=stack.affine,
        spacing=(stack.distance, *stack.first.spacing),
        sop_instance_uids=tuple("" if plane is None else plane.uid for plane in stack.planes),
        series_instance_uid=str(first.get("SeriesInstanceUID", "")),
        study_instance_uid=str(first.get("StudyInstanceUID", "")),
        frame_of_reference_uid=str(first.get("FrameOfReferenceUID", "")),
        frame_numbers=tuple(0 if plane is None else plane.frame + 1 for plane in stack.planes),
        unit=_unit(first),
        filled=filled,
        tells=stack.tells,
    )


def _unit(ds: Dataset) -> str:
    if ds.get("Units"):
        return str(ds.Units)
    if ds.get("RescaleType"):
        return str(ds.RescaleType)
    return "HU" if ds.get("Modality") == "CT" else ""
