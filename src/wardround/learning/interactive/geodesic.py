"""Outlines from a few marks by geodesic distance, with nothing trained: usable from the first case on.

A voxel belongs to what it is nearer to, where a step costs more the less its voxel is like the marks (Criminisi et al.,
GeoS, ECCV 2008; Wang et al., DeepIGeoS, TPAMI 2019). Distances are swept along the three axes, a plane at a time from
the one before it (Asad et al., FastGeodis, JOSS 2022), on a grid coarse enough that a click is answered at once.

Frame: arrays are (Z, Y, X), marks are indices (z, y, x) of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wardround.learning.interactive.mark import Mark, kept_to

MOST_VOXELS = 150_000
"""Of the grid on which distances are swept: about 100 ms on a core."""

_ROUNDS = 2
_FAR = np.float32(1e6)


@dataclass(frozen=True)
class Terms:
    """What a millimetre costs beyond 1, and how far a mark reaches; chosen on FLAIR images of gliomas.

    edge: for each spread by which a voxel differs from its neighbour. unlike: for each spread by which it differs from
    the nearest mark in brightness. most: spreads above which nothing becomes dearer. reach: how far a foreground mark
    goes at most, in those millimetres. rim: how far the edge of the image counts as from background. halo: how much
    farther a voxel counts as from foreground with each spread by which it differs, so that no rim of other tissue is
    taken along.
    """

    edge: float = 1.0
    unlike: float = 1.0
    most: float = 6.0
    reach: float = 120.0
    rim: float = 60.0
    halo: float = 10.0


@dataclass(frozen=True)
class Coarse:
    """An image on the grid on which distances are swept; kept between the clicks on one image.

    block: voxels of the image that make one of it, along (z, y, x). values: their means, float32. spread: what counts
    as one step of brightness. spacing: millimetres of the image.
    """

    values: NDArray[np.float32] = field(repr=False)
    block: tuple[int, int, int]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    spread: float

    @classmethod
    def of(cls, image: NDArray[np.float32], spacing: tuple[float, float, float]) -> Coarse:
        """Averages blocks until there are at most `MOST_VOXELS`, along the finest axis first."""
        shape = (image.shape[0], image.shape[1], image.shape[2])
        block = [1, 1, 1]
        while math.prod(-(-extent // size) for extent, size in zip(shape, block, strict=True)) > MOST_VOXELS:
            finest = min(range(3), key=lambda axis: spacing[axis] * block[axis])
            block[finest] += 1
        sizes = (block[0], block[1], block[2])
        values = pooled(image, sizes)
        low, high = np.percentile(values, (1.0, 99.0))
        return cls(values, sizes, shape, spacing, max(float(high - low) / 20, 1e-6))

    @property
    def steps(self) -> tuple[float, float, float]:
        """Millimetres of the coarse grid along (z, y, x)."""
        z, y, x = (size * width for size, width in zip(self.block, self.spacing, strict=True))
        return z, y, x

    def place(self, mark: Mark) -> Mark:
        z, y, x = (
            min(max(int(at), 0), extent - 1) // size
            for at, extent, size in zip(mark, self.shape, self.block, strict=True)
        )
        return z, y, x


def outline(
    coarse: Coarse, foreground: Sequence[Mark], background: Sequence[Mark], terms: Terms = Terms()
) -> NDArray[np.bool_]:
    """What the marks mean, bool on the image's own grid, and true to each; nothing where no foreground is marked."""
    if not foreground:
        return np.zeros(coarse.shape, np.bool_)
    inside = [coarse.place(mark) for mark in foreground]
    outside = [coarse.place(mark) for mark in background]
    base = 1 + np.float32(terms.edge) * np.minimum(_edges(coarse), np.float32(terms.most))
    costs = np.stack([base, base])
    unlike = [
        np.minimum(_unlike(coarse.values, marks, coarse.spread), np.float32(terms.most)) if marks else None
        for marks in (inside, outside)
    ]
    for place, differs in enumerate(unlike):
        if differs is not None:
            costs[place] += np.float32(terms.unlike) * differs
    distances = np.full(costs.shape, _FAR, np.float32)
    for axis in (1, 2):
        for end in (0, -1):
            edge = np.moveaxis(distances[1], axis, 0)[end]
            np.minimum(edge, np.float32(terms.rim), out=edge)
    for place, marks in enumerate((inside, outside)):
        for mark in marks:
            distances[(place, *mark)] = 0
    sweep(distances, costs, coarse.steps)
    lead = np.minimum(distances[1], np.float32(terms.reach)) - distances[0]
    if unlike[0] is not None:
        lead -= np.float32(terms.halo) * unlike[0]
    found = spread_out(lead, coarse) > 0
    kept_to(found, foreground, background)
    return found


def sweep(distances: NDArray[np.float32], costs: NDArray[np.float32], steps: tuple[float, float, float]) -> None:
    """Let distances run out over the grid, in place.

    Args:
        distances: (sets, Z, Y, X), 0 where a set begins and large elsewhere.
        costs: of the same shape, what a millimetre into a voxel costs.
        steps: millimetres along (z, y, x).
    """
    for _ in range(_ROUNDS):
        for axis in range(3):
            planes = np.moveaxis(distances, axis + 1, 0)
            dear = np.moveaxis(costs, axis + 1, 0)
            others = [steps[other] for other in range(3) if other != axis]
            for order in (range(1, len(planes)), range(len(planes) - 2, -1, -1)):
                back = -1 if order.step > 0 else 1
                for index in order:
                    _advance(planes[index], planes[index + back], dear[index], steps[axis], others)


def _advance(
    plane: NDArray[np.float32],
    before: NDArray[np.float32],
    cost: NDArray[np.float32],
    step: float,
    others: Sequence[float],
) -> None:
    best = before + np.float32(step) * cost
    for axis, width in ((1, others[0]), (2, others[1])):
        slant = np.float32(math.hypot(step, width)) * cost
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        below, above = tuple(low), tuple(high)
        np.minimum(best[above], before[below] + slant[above], out=best[above])
        np.minimum(best[below], before[above] + slant[below], out=best[below])
    np.minimum(plane, best, out=plane)


def pooled(image: NDArray[np.float32], block: tuple[int, int, int]) -> NDArray[np.float32]:
    """Means over blocks; what is over at the end repeats its last voxels."""
    padded = np.pad(
        np.asarray(image, np.float32),
        [(0, -extent % size) for extent, size in zip(image.shape, block, strict=True)],
        mode="edge",
    )
    z, y, x = (extent // size for extent, size in zip(padded.shape, block, strict=True))
    parts = padded.reshape(z, block[0], y, block[1], x, block[2])
    return np.asarray(parts.mean((1, 3, 5)), np.float32)


def spread_out(values: NDArray[np.float32], coarse: Coarse) -> NDArray[np.float32]:
    """Values of the coarse grid on the image's own, by linear interpolation."""
    for axis in (2, 1, 0):
        at = (np.arange(coarse.shape[axis]) + 0.5) / coarse.block[axis] - 0.5
        values = stretched(values, axis, at)
    return values


def stretched(values: NDArray[np.float32], axis: int, at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values at places along one axis, between voxels linearly; beyond its ends they are repeated."""
    last = values.shape[axis] - 1
    low = np.clip(np.floor(at).astype(np.intp), 0, last)
    if np.array_equal(low, at):
        return np.take(values, low, axis=axis)
    shape = [1, 1, 1]
    shape[axis] = len(at)
    part = np.clip(at - low, 0, 1).astype(np.float32).reshape(shape)
    first = np.take(values, low, axis=axis)
    second = np.take(values, np.minimum(low + 1, last), axis=axis)
    second -= first
    second *= part
    first += second
    return first


def _unlike(values: NDArray[np.float32], marks: Sequence[Mark], spread: float) -> NDArray[np.float32]:
    """By how many spreads each voxel differs from the nearest of the marks' surroundings in brightness."""
    levels = sorted({round(float(np.median(_around(values, mark))) / spread) for mark in marks})
    found = np.abs(values - np.float32(levels[0] * spread))
    for level in levels[1:]:
        np.minimum(found, np.abs(values - np.float32(level * spread)), out=found)
    return np.asarray(found / np.float32(spread), np.float32)


def _edges(coarse: Coarse) -> NDArray[np.float32]:
    """By how many spreads each voxel differs from the neighbour that it differs from most."""
    found = np.zeros_like(coarse.values)
    for axis in range(3):
        step = np.abs(np.diff(coarse.values, axis=axis)) / np.float32(coarse.spread)
        for part in (slice(1, None), slice(None, -1)):
            there = np.moveaxis(found, axis, 0)[part]
            np.maximum(there, np.moveaxis(step, axis, 0), out=there)
    return found


def _around(values: NDArray[np.float32], mark: Mark) -> NDArray[np.float32]:
    z, y, x = mark
    return values[z, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
