"""A reader who corrects an outline: the next click goes into the middle of the largest part that is wrong.

So are click-guided methods trained and compared (Xu et al., Deep interactive object selection, CVPR 2016; Sofiiuk et
al., Reviving iterative training, ICIP 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.learning.components import components
from wardround.learning.interactive.box import box_of
from wardround.learning.interactive.mark import Mark


@dataclass(frozen=True, slots=True)
class Click:
    """place: (z, y, x). inside: whether it marks what is to be outlined, or what isn't."""

    place: Mark
    inside: bool


def next_click(
    wanted: NDArray[np.bool_], found: NDArray[np.bool_], draws: np.random.Generator | None = None
) -> Click | None:
    """The click that a reader makes next, or None where nothing is wrong.

    Args:
        draws: where it is given, the click falls anywhere in that part, nearer to its middle more often.
    """
    parts = []
    for wrong, inside in ((wanted & ~found, True), (found & ~wanted, False)):
        if wrong.any():
            box = box_of(wrong)
            labelled = components(wrong[box])
            sizes = np.bincount(labelled.ravel())
            sizes[0] = 0
            largest = int(sizes.argmax())
            parts.append((int(sizes[largest]), labelled == largest, box, inside))
    if not parts:
        return None
    _, part, box, inside = max(parts, key=lambda one: one[0])
    depth = inwardness(part)
    if draws is None:
        place = np.unravel_index(int(depth.argmax()), depth.shape)
    else:
        candidates = np.flatnonzero(depth)
        weights = depth.ravel()[candidates].astype(np.float64)
        chosen = int(candidates[draws.choice(len(candidates), p=weights / weights.sum())])
        place = np.unravel_index(chosen, depth.shape)
    z, y, x = (int(at) + axis.start for at, axis in zip(place, box, strict=True))
    return Click((z, y, x), inside)


def inwardness(mask: NDArray[np.bool_], most: int = 64) -> NDArray[np.int16]:
    """How many voxels deep each voxel of a mask lies in the plane of its slice: 0 outside it, 1 at its rim."""
    deep = mask.astype(np.int16)
    left = mask.copy()
    for _ in range(most):
        inner = left.copy()
        inner[:, 1:] &= left[:, :-1]
        inner[:, :-1] &= left[:, 1:]
        inner[:, :, 1:] &= left[:, :, :-1]
        inner[:, :, :-1] &= left[:, :, 1:]
        inner[:, [0, -1]] = False
        inner[:, :, [0, -1]] = False
        left = inner
        if not left.any():
            break
        deep += left
    return deep
