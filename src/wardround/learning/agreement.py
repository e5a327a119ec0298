"""How one runtime's outputs of a network compare with its reference's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

AGREES = 0.99999
"""The share of places at which the two have to decide alike."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """argmax: the share of places with the same decision, which with one output is whether its logit is positive;
    difference: the largest between two numbers."""

    argmax: float
    difference: float

    @property
    def enough(self) -> bool:
        return self.argmax >= AGREES

    @property
    def words(self) -> str:
        return f"argmax {self.argmax:.6f}, largest difference {self.difference:.1e}"


def agreement(found: ArrayLike, reference: ArrayLike) -> Agreement:
    """Compare two outputs (N, C, …) of one shape; what isn't finite agrees with nothing."""
    one, other = np.asarray(found), np.asarray(reference)
    if one.shape != other.shape or not np.isfinite(one).all():
        return Agreement(0.0, float("inf"))
    alike = (one > 0) == (other > 0) if other.shape[1] == 1 else one.argmax(1) == other.argmax(1)
    return Agreement(float(alike.mean()), float(np.abs(one - other).max()))
