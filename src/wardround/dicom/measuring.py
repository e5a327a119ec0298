"""How large something that was outlined is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

_FEW = 1500
"""Points of which all distances are computed."""


def volume_mm3(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    """The volume of what is marked, by counting voxels.

    Args:
        mask: (slices, rows, columns).
        spacing: in mm, in the same order.
    """
    return float(np.count_nonzero(mask)) * math.prod(spacing)


def longest_diameter_mm(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    """The greatest distance between the centres of two voxels of the largest connected part (26 neighbours); 0 if
    nothing, or one voxel, is marked.

    Args: as `volume_mm3`.
    """
    if not mask.any():
        return 0.0
    mask = mask[find_objects(mask.view(np.uint8))[0]]  # what is marked is a small part of most images
    labelled, count = label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    largest = int(np.argmax(sizes)) + 1
    part = labelled[find_objects(labelled)[largest - 1]] == largest
    points = _ends_of_rows(part) * np.asarray(spacing, np.float64)
    if len(points) > _FEW:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:
            # It lies in one plane; joggled, it doesn't, and its outermost points are the same.
            points = points[ConvexHull(points, qhull_options="QJ").vertices]
    return float(pdist(points).max()) if len(points) > 1 else 0.0


def _ends_of_rows(part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The first and the last voxel of each row: the two that are farthest apart are among them."""
    z, y = np.nonzero(part.any(axis=2))
    rows = part[z, y]
    first = rows.argmax(axis=1)
    last = rows.shape[1] - 1 - rows[:, ::-1].argmax(axis=1)
    ends = [np.stack([z, y, x], axis=1) for x in (first, last)]
    return np.unique(np.concatenate(ends), axis=0).astype(np.float64)
