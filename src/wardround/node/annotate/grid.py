"""A volume on its grid, and a mask that was drawn on it with axes in another order or direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.foundation.errors import WardroundError

_SAME_PLACE = 0.25
"""Voxels by which a mask's corners may lie beside the image's: clients round what they write."""


class GridRefused(WardroundError):
    """A file that is no volume, or a mask that wasn't drawn on the image; the text names neither."""

    code = "grid-refused"


@dataclass(frozen=True, slots=True)
class Grid:
    """array: (Z, Y, X). affine: float64 (4, 4), array index (z, y, x, 1) to millimetres in the patient's frame (LPS),
    as in `wardround.dicom.volume.Volume`."""

    array: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64] = field(repr=False)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres along (z, y, x)."""
        z, y, x = (float(np.linalg.norm(self.affine[:3, axis])) for axis in range(3))
        return z, y, x


def laid_on(mask: Grid, image: Grid) -> NDArray[Any]:
    """The mask's array in the order of the image's. Axes may be permuted and reversed, as clients do that sort slices
    their own way; anything else would need interpolation, and isn't taken.

    Raises:
        GridRefused: the two grids aren't the same voxels.
    """
    step = np.linalg.solve(image.affine, mask.affine)  # the mask's index to the image's
    turn = np.rint(step[:3, :3])
    order = np.abs(turn).argmax(axis=0)
    shape = np.array(mask.array.shape)
    if mask.array.ndim != 3 or sorted(order) != [0, 1, 2] or np.abs(turn).sum() != 3:
        raise GridRefused("the mask isn't on the image's grid; draw it on the image as it was given")
    far = np.array([[x, y, z, 1.0] for x in (0, shape[0] - 1) for y in (0, shape[1] - 1) for z in (0, shape[2] - 1)])
    corners = far @ step.T
    meant = far[:, :3] @ turn.T + np.rint(step[:3, 3])
    if np.abs(corners[:, :3] - meant).max() > _SAME_PLACE:
        raise GridRefused("the mask isn't on the image's grid; draw it on the image as it was given")
    array = mask.array
    for axis in range(3):
        if turn[order[axis], axis] < 0:
            array = np.flip(array, axis)
    array = np.transpose(array, np.argsort(order))
    if array.shape != image.array.shape or np.abs(meant.min(axis=0)).max() > 0:
        raise GridRefused("the mask isn't of the image's size; draw it on the whole image as it was given")
    return np.ascontiguousarray(array)
