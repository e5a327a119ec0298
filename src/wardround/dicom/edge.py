"""The edge of what is marked on one slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def edge_of(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is marked and touches what isn't, by rows or columns; bool (rows, columns)."""
    padded = np.pad(marked, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return marked & ~inside
