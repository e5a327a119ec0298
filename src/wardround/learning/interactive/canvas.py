"""An image as the click network sees it: what isn't air, on a grid of a bounded number of voxels, and clicks on it.

Frame: arrays are (Z, Y, X), marks are indices (z, y, x) of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wardround.learning.case import resampling
from wardround.learning.interactive.box import Box, box_of
from wardround.learning.interactive.geodesic import stretched
from wardround.learning.interactive.mark import Mark

MOST_VOXELS = 120_000
"""Of the grid: with it a pass of the network takes less than a tenth of a second on a core, whatever the image."""
FOLD = 2
"""Blocks of 2 x 2 pixels enter the network as channels of one (Shi et al., sub-pixel convolution, CVPR 2016)."""
CHANNELS = FOLD**2 + 2 * 2

_MULTIPLE = 8
"""Of rows and of columns, so that few shapes occur, each of which is compiled once."""
_NEAR_MM, _REACH_MM = 6.0, 30.0
"""How far a click is told to be there, and how far what is like it counts."""
_ALIKE = 0.25
"""By how much of the image's brightness a place may differ from what was clicked to count as like it."""
_RIM = 0.05
"""The share of tissue below which a plane at the image's edge is left out."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """Kept between the clicks on one image.

    values: float32, 0 at the median of what isn't dark, 1 at the brightest. box: the part of the image that the grid
    covers. shape: of the image. steps: millimetres of the grid.
    """

    values: NDArray[np.float32] = field(repr=False)
    box: Box
    shape: Mark
    steps: tuple[float, float, float]

    @classmethod
    def of(cls, image: NDArray[np.float32], spacing: tuple[float, float, float]) -> Canvas:
        dark, bright = (float(one) for one in np.percentile(image[::2, ::2, ::2], (1.0, 95.0)))
        box = box_of(image > dark + 0.2 * (bright - dark), _RIM)
        extents = [one.stop - one.start for one in box]
        grid = _grid(extents, spacing)
        part = image[box] - np.float32(dark)
        for axis, size in enumerate(grid):
            part = _along(part, axis, _onto(extents[axis], size))
        brightest = float(np.percentile(part, 99.5))
        tissue = part[part > 0.1 * brightest]
        middle = float(np.median(tissue)) if tissue.size else 0.0
        values = np.clip((part - middle) / max(brightest - middle, 1e-6), -2, 2).astype(np.float32)
        z, y, x = (width * extent / size for width, extent, size in zip(spacing, extents, grid, strict=True))
        return cls(values, box, (image.shape[0], image.shape[1], image.shape[2]), (z, y, x))

    def place(self, mark: Mark) -> Mark:
        """Where a mark lies on the grid; one beside it counts as at its rim."""
        z, y, x = (
            min(max((at - one.start) * size // (one.stop - one.start), 0), size - 1)
            for at, one, size in zip(mark, self.box, self.values.shape, strict=True)
        )
        return z, y, x

    def laid(self, label: NDArray[np.bool_]) -> NDArray[np.float32]:
        """A label of the image on the grid: the share of each voxel that it fills."""
        part = label[self.box].astype(np.float32)
        for axis, size in enumerate(self.values.shape):
            part = _along(part, axis, _onto(part.shape[axis], size))
        return part

    def outline(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """What the grid's logits outline on the image's own grid: where they are above 0, between voxels linearly."""
        found = np.zeros(self.shape, np.bool_)
        positive = logits > 0
        if not positive.any():
            return found
        # Beyond a voxel around what is positive nothing can be.
        z, y, x = near = [slice(max(one.start - 1, 0), one.stop + 1) for one in box_of(positive)]
        part = logits[z, y, x]
        box = [slice(0, 0)] * 3
        for axis in (2, 1, 0):
            extent, size, span = self.box[axis].stop - self.box[axis].start, logits.shape[axis], near[axis]
            begin, end = span.start * extent // size, min(-(-span.stop * extent // size), extent)
            part = stretched(part, axis, (np.arange(begin, end) + 0.5) * size / extent - 0.5 - span.start)
            box[axis] = slice(self.box[axis].start + begin, self.box[axis].start + end)
        found[tuple(box)] = part > 0
        return found


def told(
    values: NDArray[np.float32],
    steps: tuple[float, float, float],
    foreground: Sequence[Mark],
    background: Sequence[Mark],
) -> NDArray[np.float32]:
    """What the network is given, (`CHANNELS`, Z, Y / 2, X / 2): the image; then for either kind of click how near each
    place is to one, and how near and like it in brightness, 1 at the click. Marks are of the grid."""
    image = _folded(values)
    plain = image.mean(0)
    found = [image]
    for marks in (foreground, background):
        channels = np.zeros((2, *plain.shape), np.float32)
        for mark in marks:
            level = np.float32(np.median(_around(values, mark)))
            like = np.exp(-(((plain - level) / np.float32(_ALIKE)) ** 2))
            for channel, width, much in zip(channels, (_NEAR_MM, _REACH_MM), (np.float32(1), like), strict=True):
                np.maximum(channel, much * bell(plain.shape, steps, mark, width, FOLD), out=channel)
        found.append(channels)
    return np.concatenate(found)


def _folded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Z, Y, X) to (4, Z, Y / 2, X / 2)."""
    z, y, x = values.shape
    parts = values.reshape(z, y // FOLD, FOLD, x // FOLD, FOLD).transpose(2, 4, 0, 1, 3)
    return parts.reshape(FOLD**2, z, y // FOLD, x // FOLD)


def bell(
    shape: tuple[int, ...], steps: tuple[float, float, float], mark: Mark, width: float, fold: int = 1
) -> NDArray[np.float32]:
    """How near each place is to a mark: 1 there, a bell that falls to 1/e in `width` millimetres. `fold`: by how much
    rows and columns of `shape` are coarser than the grid of the mark and of `steps`."""
    z, y, x = (
        np.exp(-(((np.arange(extent) * size + (size - 1) / 2 - at) * step / width) ** 2)).astype(np.float32)
        for extent, size, at, step in zip(shape, (1, fold, fold), mark, steps, strict=True)
    )
    return np.asarray(z[:, None, None] * (y[:, None] * x), np.float32)


def _around(values: NDArray[np.float32], mark: Mark) -> NDArray[np.float32]:
    z, y, x = mark
    return values[z, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]


def _grid(extents: Sequence[int], spacing: Sequence[float]) -> Mark:
    """Voxels along each axis: as many as the image has, of one width where that would be too many."""
    width = min(spacing)
    while True:
        z, y, x = (
            min(extent, max(round(extent * own / width), 1)) for extent, own in zip(extents, spacing, strict=True)
        )
        y, x = (max(_MULTIPLE * round(one / _MULTIPLE), _MULTIPLE) for one in (y, x))
        if z * y * x <= MOST_VOXELS:
            return z, y, x
        width *= 1.02


def _onto(extent: int, size: int) -> NDArray[np.float32]:
    """The matrix (size, extent) that brings an axis onto the grid."""
    step = extent / size
    return resampling(size, extent, step / 2 - 0.5, step)


def _along(values: NDArray[np.float32], axis: int, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix), dtype=np.float32)):
        return values
    if axis == 2:
        return np.asarray(values @ matrix.T, np.float32)
    if axis == 1:
        return np.asarray(matrix @ values, np.float32)
    flat = matrix @ values.reshape(len(values), -1)
    return np.asarray(flat.reshape(len(matrix), *values.shape[1:]), np.float32)
