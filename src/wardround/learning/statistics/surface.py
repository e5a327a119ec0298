"""How far the surfaces of two masks lie apart, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Distances:
    """In millimetres. average: the mean over both surfaces' voxels of how far the other one is. hd95: the 95th
    percentile of that, the larger of the two directions."""

    average: float
    hd95: float


def distances(predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float]) -> Distances | None:
    """Average symmetric surface distance, and the 95 % Hausdorff distance (as in Maier-Hein et al., Metrics reloaded,
    Nature Methods 21, 2024). A surface is the voxels of a mask that have a neighbour by face outside it.

    Args:
        predicted, reference: masks (Z, Y, X) of one volume. spacing: millimetres along each axis of the arrays.

    Returns: None where either mask is empty: there is no distance to what isn't there.

    Raises:
        ValueError: the shapes differ, or the spacing isn't of as many axes.
    """
    if predicted.shape != reference.shape or len(spacing) != predicted.ndim:
        raise ValueError(f"masks of shapes {predicted.shape} and {reference.shape}, spacing of {len(spacing)} axes")
    either = np.argwhere(predicted | reference)
    if not predicted.any() or not reference.any():
        return None
    box = tuple(slice(low, high + 1) for low, high in zip(either.min(0), either.max(0), strict=True))
    one, other = _surface(np.asarray(predicted[box], bool)), _surface(np.asarray(reference[box], bool))
    there, back = _to(other, spacing)[one], _to(one, spacing)[other]
    average = float((there.sum() + back.sum()) / (there.size + back.size))
    return Distances(average, float(max(np.percentile(there, 95), np.percentile(back, 95))))


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    inside = mask.copy()
    middle = tuple(slice(1, -1) for _ in range(mask.ndim))
    for axis in range(mask.ndim):
        for side in (slice(0, -2), slice(2, None)):
            inside &= padded[(*middle[:axis], side, *middle[axis + 1 :])]
    return mask & ~inside


def _to(surface: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Of each voxel, how far the nearest of the surface is: exact, one axis after the other, each voxel taking the
    least of what its line offers (Saito and Toriwaki, Pattern Recognition 27(11), 1994)."""
    far = sum((step * size) ** 2 for step, size in zip(spacing, surface.shape, strict=True)) + 1.0
    squared = np.where(surface, 0.0, far)
    for axis, step in enumerate(spacing):
        line = np.moveaxis(squared, axis, 0)
        least = line.copy()
        for offset in range(1, len(line)):
            cost = (offset * step) ** 2
            if cost >= least.max():
                break
            np.minimum(least[offset:], line[:-offset] + cost, out=least[offset:])
            np.minimum(least[:-offset], line[offset:] + cost, out=least[:-offset])
        squared = np.moveaxis(least, 0, axis)
    return np.sqrt(squared)
