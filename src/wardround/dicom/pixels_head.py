"""Where the face of a head is: from the shape of the head alone, in the patient's frame.

Coordinates are millimetres in the DICOM patient frame, LPS: x to the patient's left, y to the back, z to the top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

_STEP = 4.0
_MOST_CELLS = 200
_LONGEST, _SHORTEST = 250.0, 110.0
_WIDEST, _NARROWEST = 220.0, 90.0
_BROW_BELOW_TOP = 0.54
"""How far the brow lies below the top of the head, by its length from brow to back: the low end in adults, so that the
base of the frontal lobes stays."""
_BEHIND_BROW = 5.0
_SLOPE = 0.75
_OPEN_TOP = 0.6


class HeadReason(StrEnum):
    """Why a face can't be found: stable codes."""

    NO_HEAD = "no-head"
    NOT_A_HEAD = "not-a-head"
    TOP_MISSING = "top-of-head-missing"
    MULTI_FRAME = "multi-frame"


class HeadUnclear(ValueError):
    """The head's shape can't be made out, so that its face can't be removed. Holds no value of the object."""

    def __init__(self, reason: HeadReason, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason.value


@dataclass(frozen=True, slots=True)
class FacePlane:
    """Half of space that holds the face: below `brow` (z), and in front of a plane that lies at `front` (y) there and
    goes back by `slope` millimetres for each millimetre down. Nothing above the brow belongs to it."""

    brow: float
    front: float
    slope: float = _SLOPE

    def holds(self, y: NDArray[np.floating], z: NDArray[np.floating]) -> Mask:
        down = self.brow - z
        return np.asarray((down >= 0) & (y < self.front + self.slope * down), np.bool_)


def face_plane(body: Mask, affine: NDArray[np.float64]) -> FacePlane | None:
    """The plane in front of which the face of a head lies, or None where the volume ends above the brow.

    Args:
        body: bool (Z, Y, X), what isn't air.
        affine: float64 (4, 4), array index to LPS millimetres.

    Raises:
        HeadUnclear: there is no head, it isn't of a head's size, or its top isn't in the volume.
    """
    head, origin = _head(body, affine)
    heights = _heights(origin[2], head.shape[0])
    areas = head.sum(axis=(1, 2)) * _STEP**2
    top = int(np.flatnonzero(areas > 0)[-1])
    cut = float(areas[max(top - 1, 0)] / areas.max()) if top >= head.shape[0] - 2 else 0.0
    if cut > _OPEN_TOP:
        raise HeadUnclear(
            HeadReason.TOP_MISSING, "too much of the top of the head isn't in the series to locate its face"
        )
    length, width, front = _size(head, heights, top, origin, cut)
    if not (_SHORTEST <= length <= _LONGEST and _NARROWEST <= width <= _WIDEST):
        raise HeadUnclear(HeadReason.NOT_A_HEAD, "what is in the series hasn't the size of a head")
    # A dome that is cut at this share of its largest area goes on for so much of its height (an ellipsoid's).
    missing = (1 - math.sqrt(1 - cut)) * _BROW_BELOW_TOP * length
    brow = float(heights[top]) + _STEP / 2 + missing - _BROW_BELOW_TOP * length
    if brow <= heights[0] - _STEP / 2:
        return None
    return FacePlane(brow, front + _BEHIND_BROW)


def _size(
    head: Mask, heights: NDArray[np.float64], top: int, origin: NDArray[np.float64], cut: float
) -> tuple[float, float, float]:
    """Length, width and foremost place (y) of the upper head: above the brow, so that no nose counts.

    The brow isn't known before the length is: the length is taken at ever lower levels until it agrees.
    """
    length = width = front = 0.0
    for level in range(top, -1, -1):
        rows, columns = np.any(head[level], axis=1), np.any(head[level], axis=0)
        if not rows.any():
            continue
        first, last = np.flatnonzero(rows)[[0, -1]]
        left, right = np.flatnonzero(columns)[[0, -1]]
        here = (last - first + 1) * _STEP
        if here > length:
            length, front = here, float(origin[1] + first * _STEP - _STEP / 2)
        width = max(width, (right - left + 1) * _STEP)
        if heights[top] - heights[level] >= math.sqrt(1 - cut) * _BROW_BELOW_TOP * length:
            break
    return length, width, front


def _head(body: Mask, affine: NDArray[np.float64]) -> tuple[Mask, NDArray[np.float64]]:
    """The largest thing in the volume on a coarse grid (z, y, x) along the patient's axes, and the place (x, y, z) of
    its first cell. The head's inside is filled."""
    corners = np.array([[z, y, x, 1] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
    corners[:, :3] *= np.array(body.shape) - 1
    places = (affine @ corners.T)[:3].T
    origin = places.min(axis=0)
    cells = np.ceil((places.max(axis=0) - origin) / _STEP).astype(int) + 1
    if cells.max() > _MOST_CELLS:
        raise HeadUnclear(HeadReason.NOT_A_HEAD, "the series covers more than a head")
    x, y, z = (origin[axis] + _STEP * np.arange(cells[axis]) for axis in range(3))
    inverse = np.linalg.inv(affine)
    index = [
        inverse[row, 0] * x[None, None, :]
        + inverse[row, 1] * y[None, :, None]
        + inverse[row, 2] * z[:, None, None]
        + inverse[row, 3]
        for row in range(3)
    ]
    whole = [np.rint(part).astype(int) for part in index]
    inside = np.logical_and.reduce([(part >= 0) & (part < size) for part, size in zip(whole, body.shape, strict=True)])
    clipped = [np.clip(part, 0, size - 1) for part, size in zip(whole, body.shape, strict=True)]
    coarse = body[clipped[0], clipped[1], clipped[2]] & inside
    return _largest(_filled(coarse)), origin


def _filled(mask: Mask) -> Mask:
    """Each axial cell row without its holes: air within the skull belongs to the head."""
    behind = np.logical_or.accumulate(mask, axis=1) & np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    beside = np.logical_or.accumulate(mask, axis=2) & np.logical_or.accumulate(mask[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.asarray(mask | (behind & beside), np.bool_)


def _largest(mask: Mask) -> Mask:
    """The connected part (6 neighbours) around the volume's densest place: the table and the coil go."""
    thick = mask & _eroded(mask)
    if not thick.any():
        raise HeadUnclear(HeadReason.NO_HEAD, "there is no head in the series")
    density = [thick.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    cells = np.argwhere(thick)
    middle = np.array([np.average(np.arange(len(line)), weights=line) for line in density])
    seed = cells[int(np.argmin(((cells - middle) ** 2).sum(axis=1)))]
    found = np.zeros_like(thick)
    found[tuple(seed)] = True
    while True:
        grown = _dilated(found) & thick
        if int(grown.sum()) == int(found.sum()):
            return np.asarray(_dilated(found) & mask, np.bool_)
        found = grown


def _dilated(mask: Mask) -> Mask:
    grown = mask.copy()
    for axis in range(3):
        near, far = [slice(None)] * 3, [slice(None)] * 3
        near[axis], far[axis] = slice(1, None), slice(None, -1)
        grown[tuple(near)] |= mask[tuple(far)]
        grown[tuple(far)] |= mask[tuple(near)]
    return grown


def _eroded(mask: Mask) -> Mask:
    return np.asarray(~_dilated(~mask), np.bool_)


def _heights(lowest: float, count: int) -> NDArray[np.float64]:
    return np.asarray(lowest + _STEP * np.arange(count), np.float64)


def body_of(volume: Field, hounsfield: bool) -> Mask:
    """What isn't air: above -300 HU in CT, else above a threshold between background and tissue (Otsu 1979)."""
    if hounsfield:
        return np.asarray(volume > -300, np.bool_)
    low, high = (float(value) for value in np.percentile(volume, (0.5, 99.0)))
    if not math.isfinite(high) or high <= low:
        raise HeadUnclear(HeadReason.NO_HEAD, "the series is empty")
    counts, edges = np.histogram(np.clip(volume, low, high), bins=128)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    at = int(np.nanargmax(between[:-1]))
    # Otsu's threshold parts tissue from tissue too; half of it keeps the skin.
    return np.asarray(volume > low + 0.5 * (float(middles[at]) - low), np.bool_)
