"""The part of a volume that something takes up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


def box_of(mask: NDArray[np.bool_], share: float = 0.0) -> Box:
    """Along each axis of a mask (Z, Y, X) from the first to the last plane of which more than `share` is in it; the
    whole axis where none is."""
    z, y, x = (
        _span(mask.mean(tuple(other for other in range(3) if other != axis)) > share, extent)
        for axis, extent in enumerate(mask.shape)
    )
    return z, y, x


def _span(planes: NDArray[np.bool_], extent: int) -> slice:
    there = np.flatnonzero(planes)
    return slice(int(there[0]), int(there[-1]) + 1) if there.size else slice(0, extent)
