"""Connected parts of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def components(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The connected parts of a mask of any dimension: 0 outside it, then 1, 2, … in order of their first voxel.

    Two voxels are connected where they share a face. Labels spread by taking the smaller of two neighbours'
    and following it to its own, which settles in a number of turns that grows with the logarithm of the size.
    """
    number = np.full(mask.shape, -1, np.intp)
    number[mask] = np.arange(np.count_nonzero(mask))
    first, second = [], []
    for axis in range(mask.ndim):
        near, far = (np.moveaxis(number, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        touching = (near >= 0) & (far >= 0)
        first.append(near[touching])
        second.append(far[touching])
    one, other = np.concatenate(first), np.concatenate(second)
    smallest = np.arange(np.count_nonzero(mask))
    while (smallest[one] != smallest[other]).any():
        lower = np.minimum(smallest[one], smallest[other])
        np.minimum.at(smallest, smallest[one], lower)
        np.minimum.at(smallest, smallest[other], lower)
        while (smallest[smallest] != smallest).any():
            smallest = smallest[smallest]
    labelled = np.zeros(mask.shape, np.intp)
    labelled[mask] = np.unique(smallest, return_inverse=True)[1] + 1
    return labelled


def without_small(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The mask without parts that are smaller than `share` of its largest part."""
    labelled = components(mask)
    sizes = np.bincount(labelled.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= max(share * sizes.max(), 1))[labelled])
