"""Planes of a series put together into stacks: planes that lie evenly behind each other on one grid.

A series may hold a localiser beside its slices, several time points, echoes or b-values at the same places, and the
same slice twice. `stacks_of` takes it apart; `VolumePolicy` says what may be done about what is left.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wardround.dicom.volume_planes import KEYS, Plane
from wardround.dicom.volume_refusal import VolumeReason, VolumeRefused

_SAME_PLACE_MM = 0.01
_SAME_DIRECTION = 1e-3
_UNEVEN = 0.05
_SLICES_FOR_EACH_FILLED = 10
_MOST_ATTRIBUTES = 4
MAX_VOXELS = 1 << 29


@dataclass(frozen=True, slots=True)
class VolumePolicy:
    """What may be done to make a volume of a series that isn't one plain stack.

    tilt: slices that aren't stacked along their normal are refused, or kept on their sheared grid (see
        `wardround.dicom.volume.straighten`). fill: up to so many single missing slices are interpolated, in a series
        of at least ten slices for each. mixed: of planes of several orientations or sizes (a localiser, say) all are
        refused, or the largest stack is taken. several: of several volumes at one place (times, echoes, b-values) all
        are refused, or the first is taken. copies: the same slice twice is refused, or dropped. multi_frame: enhanced
        objects are refused, or read. colour: refused, or read as luminance.
    """

    tilt: Literal["refuse", "keep"] = "refuse"
    fill: int = 0
    mixed: Literal["refuse", "largest"] = "refuse"
    several: Literal["refuse", "first"] = "refuse"
    copies: Literal["refuse", "drop"] = "refuse"
    multi_frame: Literal["refuse", "read"] = "refuse"
    colour: Literal["refuse", "luminance"] = "refuse"


STRICT = VolumePolicy()
"""Every slice as it is, or nothing: for the clinical path, whose results name the slices that they were drawn on."""

LEARNING = VolumePolicy(tilt="keep", fill=1, mixed="largest", copies="drop", multi_frame="read")
"""For cohorts: what can be mended without guessing is; several volumes in one series are refused, not chosen from."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Planes in the order of their distance along the normal, row direction crossed with column direction.

    planes: None where a missing slice is to be interpolated. step: vector in millimetres from one slice to the next;
    it isn't along the normal where the stack is tilted. distance: millimetres between slices along the normal.
    tells: what sets this stack apart from others of its series, by the names of `KEYS`.
    """

    planes: tuple[Plane | None, ...]
    step: NDArray[np.float64]
    distance: float
    tells: tuple[tuple[str, str], ...] = ()

    @property
    def first(self) -> Plane:
        plane = self.planes[0]
        assert plane is not None  # noqa: S101 - a stack begins and ends with a real slice
        return plane

    @property
    def affine(self) -> NDArray[np.float64]:
        """float64 (4, 4), array index (z, y, x, 1) to LPS millimetres."""
        plane = self.first
        affine = np.eye(4)
        affine[:3, 0] = self.step
        affine[:3, 1] = plane.orientation[3:] * plane.spacing[0]
        affine[:3, 2] = plane.orientation[:3] * plane.spacing[1]
        affine[:3, 3] = plane.position
        return affine


def stacks_of(planes: Sequence[Plane], policy: VolumePolicy, same: Callable[[Plane, Plane], bool]) -> list[Stack]:
    """The stacks of one series, at least one; several only where the series holds several volumes at one place.

    same: whether two planes at one place hold the same pixels; one of them is dropped then.

    Raises:
        VolumeRefused: the planes can't be put together, or only in a way that `policy` doesn't allow.
    """
    chosen = _one_grid(planes, policy)
    if policy.copies == "drop":
        chosen = _without_copies(chosen, same)
    groups = _split(chosen)
    return [_stack(group, tells, policy) for group, tells in groups]


def _one_grid(planes: Sequence[Plane], policy: VolumePolicy) -> list[Plane]:
    """The planes of one frame of reference, size, spacing and orientation."""
    grids: list[list[Plane]] = []
    for plane in planes:
        for grid in grids:
            if _differs(grid[0], plane) is None:
                grid.append(plane)
                break
        else:
            grids.append([plane])
    if len(grids) == 1:
        return grids[0]
    real = [grid for grid in grids if not all(plane.localiser for plane in grid)] or grids
    sizes = sorted((len(grid) for grid in real), reverse=True)
    if policy.mixed == "largest" and (len(sizes) == 1 or sizes[0] > sizes[1]):
        return max(real, key=len)
    reason, name = _differs(grids[0][0], grids[1][0]) or (VolumeReason.MIXED_ORIENTATION, "orientation")
    raise VolumeRefused(reason, f"the slices do not share one {name}")


def _differs(one: Plane, other: Plane) -> tuple[VolumeReason, str] | None:
    if one.frame_of_reference != other.frame_of_reference:
        return VolumeReason.MIXED_FRAME_OF_REFERENCE, "frame of reference"
    if one.shape != other.shape:
        return VolumeReason.MIXED_SIZE, "number of rows and columns"
    if float(np.abs(one.orientation - other.orientation).max()) > _SAME_DIRECTION:
        return VolumeReason.MIXED_ORIENTATION, "orientation"
    if max(abs(a - b) for a, b in zip(one.spacing, other.spacing, strict=True)) > 1e-4:
        return VolumeReason.MIXED_SPACING, "pixel spacing"
    return None


def _distances(planes: Sequence[Plane]) -> NDArray[np.float64]:
    orientation = planes[0].orientation
    normal = np.cross(orientation[:3], orientation[3:])
    return np.array([plane.position for plane in planes]) @ normal


def _places(planes: Sequence[Plane]) -> list[int]:
    """For each plane the number of its place along the normal; planes of one place have one number."""
    distances = _distances(planes)
    order = np.argsort(distances, kind="stable")
    steps = np.diff(distances[order], prepend=distances[order][:1])
    numbers = np.empty(len(planes), dtype=int)
    numbers[order] = np.cumsum(steps >= _SAME_PLACE_MM)
    return [int(number) for number in numbers]


def _without_copies(planes: list[Plane], same: Callable[[Plane, Plane], bool]) -> list[Plane]:
    kept: list[Plane] = []
    by_place: dict[int, list[Plane]] = {}
    for plane, place in zip(planes, _places(planes), strict=True):
        here = by_place.setdefault(place, [])
        if not any(same(plane, other) for other in here):
            here.append(plane)
            kept.append(plane)
    return kept


def _split(planes: list[Plane]) -> list[tuple[list[Plane], tuple[tuple[str, str], ...]]]:
    """Groups in each of which no two planes lie at one place: as few groups as can be, told apart by as few attributes.

    An attribute that is another for every slice would tell them all apart; so a grouping into more than twice as many
    groups as there are planes at the fullest place is none.
    """
    places = _places(planes)
    fullest = max(Counter(places).values())
    if fullest == 1:
        return [(planes, ())]
    varying = [key for key in range(len(KEYS)) if len({plane.keys[key] for plane in planes}) > 1]
    found: tuple[int, tuple[int, ...]] | None = None
    for count in range(1, _MOST_ATTRIBUTES + 1):
        for names in combinations(varying, count):
            told = [tuple(plane.keys[key] for key in names) for plane in planes]
            if len(set(zip(places, told, strict=True))) == len(planes):
                groups_told = len(set(told))
                if found is None or groups_told < found[0]:
                    found = groups_told, names
    if found is None or found[0] > 2 * fullest:
        raise VolumeRefused(
            VolumeReason.DUPLICATE_POSITION,
            f"{len(planes) - len(set(places))} of {len(planes)} slices lie where another slice lies, and nothing tells "
            "them apart",
        )
    names = found[1]
    groups: dict[tuple[Hashable, ...], list[Plane]] = {}
    for plane in planes:
        groups.setdefault(tuple(plane.keys[key] for key in names), []).append(plane)
    ordered = sorted(groups.items(), key=lambda group: [_rank(value) for value in group[0]])
    return [
        (group, tuple((KEYS[key], str(value)) for key, value in zip(names, values, strict=True)))
        for values, group in ordered
    ]


def _rank(value: object) -> tuple[int, float, str]:
    try:
        return (1, float(str(value)), "")
    except ValueError:
        return (0 if value is None else 2, 0.0, str(value))


def _stack(planes: list[Plane], tells: tuple[tuple[str, str], ...], policy: VolumePolicy) -> Stack:
    distances = _distances(planes)
    ordered = [planes[index] for index in np.argsort(distances, kind="stable")]
    rows, columns = ordered[0].shape
    if len(ordered) * rows * columns > MAX_VOXELS:
        raise VolumeRefused(
            VolumeReason.TOO_LARGE,
            f"{math.prod((len(ordered), rows, columns))} voxels are more than the limit of {MAX_VOXELS}",
        )
    orientation = ordered[0].orientation
    normal = np.cross(orientation[:3], orientation[3:])
    if len(ordered) == 1:
        thickness = ordered[0].thickness
        if thickness is None:
            raise VolumeRefused(
                VolumeReason.MISSING_GEOMETRY, "a single slice has neither slice thickness nor slice spacing"
            )
        return Stack((ordered[0],), normal * thickness, thickness, tells)
    filled = _with_gaps(ordered, np.diff(np.sort(distances)), policy)
    positions = np.array([plane.position for plane in ordered])
    places = np.array([index for index, plane in enumerate(filled) if plane is not None], dtype=np.float64)
    distance = float((positions[-1] - positions[0]) @ normal / (len(filled) - 1))
    drift = positions - positions[0] - np.outer((positions - positions[0]) @ normal, normal)
    tolerance = max(_UNEVEN * distance, 10 * _SAME_PLACE_MM)
    if float(np.linalg.norm(drift, axis=1).max()) <= tolerance:
        return Stack(tuple(filled), normal * distance, distance, tells)
    slide = drift[-1] / places[-1]
    if float(np.linalg.norm(drift - np.outer(places, slide), axis=1).max()) > tolerance:
        raise VolumeRefused(VolumeReason.SHEARED, "the slices are not stacked along one line")
    if policy.tilt == "refuse":
        raise VolumeRefused(VolumeReason.SHEARED, "the slices are not stacked along their normal (tilted acquisition)")
    return Stack(tuple(filled), normal * distance + slide, distance, tells)


def _with_gaps(ordered: Sequence[Plane], steps: NDArray[np.float64], policy: VolumePolicy) -> list[Plane | None]:
    """The planes with None for each slice that is missing and may be interpolated."""
    smallest = float(steps.min())
    step = float(np.median(steps[steps < 1.5 * smallest]))
    tolerance = max(_UNEVEN * step, _SAME_PLACE_MM)
    times = np.rint(steps / step)
    if (np.abs(steps - times * step) > tolerance).any():
        step = float(np.median(steps))
        uneven = np.abs(steps - step) > max(_UNEVEN * step, _SAME_PLACE_MM)
        raise VolumeRefused(
            VolumeReason.UNEVEN_SPACING,
            f"slices are {step:.2f} mm apart, but {int(uneven.sum())} of {len(steps)} steps differ, up to "
            f"{float(steps[uneven].max()):.2f} mm",
        )
    missing = int(times.sum()) - len(times)
    if missing:
        few = missing <= policy.fill and len(ordered) >= _SLICES_FOR_EACH_FILLED * missing
        if not few or times.max() > 2:
            raise VolumeRefused(
                VolumeReason.MISSING_SLICES,
                f"slices are {step:.2f} mm apart, and {missing} of {len(ordered) + missing} are missing",
            )
    filled: list[Plane | None] = [ordered[0]]
    for plane, count in zip(ordered[1:], times, strict=True):
        filled += [None] * (int(count) - 1)
        filled.append(plane)
    return filled
