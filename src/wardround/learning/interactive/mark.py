"""A place that somebody marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mark = tuple[int, int, int]
"""(z, y, x)."""


def kept_to(found: NDArray[np.bool_], foreground: Sequence[Mark], background: Sequence[Mark]) -> None:
    """Have an outline (Z, Y, X) be what was said of it at each mark and beside it in its slice, in place. Marks lie on
    it. Where two are next to one another each has its own voxel; of two on one voxel the foreground counts."""
    kinds = ((background, False), (foreground, True))
    for marks, inside in kinds:
        for z, y, x in marks:
            found[z, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = inside
    for marks, inside in kinds:
        for mark in marks:
            found[mark] = inside
