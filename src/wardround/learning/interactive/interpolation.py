"""What lies between slices that somebody drew (Raya and Udupa, Shape-based interpolation, TMI 1990)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_FAR = 1 << 15


def between(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask, (Z, Y, X), with the slices between two drawn ones filled in; a slice that was drawn stays as it is.

    Each drawn slice is told as the distance from its outline, positive inside; a slice between is where the two
    distances, each weighted by how near its slice is, come to more than nothing.
    """
    drawn = np.flatnonzero(mask.any((1, 2)))
    filled = mask.copy()
    for low, high in pairwise(drawn):
        if high - low < 2:
            continue
        first, second = _distance(mask[low]), _distance(mask[high])
        for index in range(low + 1, high):
            share = (index - low) / (high - low)
            filled[index] = (1 - share) * first + share * second > 0
    return filled


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Pixels from the outline, positive inside; what lies beyond the picture is outside."""
    padded = np.pad(mask, 1)
    signed = np.where(padded, _to_nearest(~padded) - 0.5, 0.5 - _to_nearest(padded))
    return np.asarray(signed[1:-1, 1:-1], np.float32)


def _to_nearest(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Pixels from each pixel to the nearest one of a mask that isn't empty: within its row, then over all rows
    (Felzenszwalb and Huttenlocher, 2012, without their envelope: pictures are small)."""
    rows, columns = mask.shape
    at = np.arange(columns)
    before = np.maximum.accumulate(np.where(mask, at, -_FAR), axis=1)
    after = np.minimum.accumulate(np.where(mask, at, _FAR)[:, ::-1], axis=1)[:, ::-1]
    within = np.minimum(at - before, after - at).astype(np.float32) ** 2
    apart = (np.arange(rows)[:, None] - np.arange(rows)[None, :]).astype(np.float32) ** 2
    nearest = np.empty(mask.shape, np.float32)
    for row in range(rows):
        nearest[row] = (within + apart[row][:, None]).min(axis=0)
    return np.sqrt(nearest)
