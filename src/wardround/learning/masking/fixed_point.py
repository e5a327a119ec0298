"""Weighted updates as whole numbers modulo 2^32, whose sum is exact and can't wrap round.

Every value is multiplied by its site's weight and counted in steps of one size, the same at all sites. The step is as
small as the largest sum that the sites' weights and bounds allow lets it be: with w the weights and b the bounds of the
n sites of the roster, step = Σ w·b / (2^31 - 1 - n). Each site rounds by at most half a step, so that no sum of any of
these sites is larger than 2^31 - 1 steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.masking import Advertised
from wardround.contracts.privacy import Privacy
from wardround.learning.masking.refusal import MaskingRefused

LARGEST = 2**31 - 1
COARSEST = 2.0**-16
"""A step of the mean may be no larger than that part of the least bound: else one site that states a bound or a weight
far beyond the others' would round theirs away."""

_AT_ONCE = 1 << 20

TAIL = 8.6
"""No noise of `wardround.learning.privacy` is larger than so many standard deviations."""


def bound_of(privacy: Privacy) -> float:
    """The largest value, by its amount, that an update may have which was cut and noised so."""
    return privacy.clip_norm * (1.0 + TAIL * privacy.noise_multiplier) * (1.0 + 1e-6)


@dataclass(frozen=True)
class FixedPoint:
    """How one round's numbers are told. `step` is one unit of a weighted value; `sites` those of the roster."""

    step: float
    sites: int

    @classmethod
    def of(cls, roster: Sequence[Advertised]) -> FixedPoint:
        """The encoding for the sites of a roster.

        Raises:
            MaskingRefused: `too-few-sites`, there is none; `too-coarse`, their weights and bounds lie too far apart.
        """
        if not roster:
            raise MaskingRefused("too-few-sites")
        largest = sum(one.weight * one.bound for one in roster)
        step = largest / (LARGEST - len(roster))
        if step > COARSEST * min(one.bound for one in roster) * sum(one.weight for one in roster):
            raise MaskingRefused("too-coarse")
        return cls(step, len(roster))

    def encode(self, values: NDArray[np.floating], weight: float, bound: float) -> NDArray[np.uint32]:
        """One site's values, `weight` times, as whole numbers modulo 2^32.

        Raises:
            MaskingRefused: `not-finite`, or `out-of-range` where one is larger than the `bound` that was told.
        """
        told = np.empty(values.size, np.uint32)
        for start in range(0, values.size, _AT_ONCE):
            exact = values[start : start + _AT_ONCE].astype(np.float64)
            if not np.isfinite(exact).all():
                raise MaskingRefused("not-finite")
            if float(np.abs(exact).max()) > bound:
                raise MaskingRefused("out-of-range")
            exact *= weight / self.step
            told[start : start + _AT_ONCE] = np.rint(exact, out=exact).astype(np.int64).astype(np.uint32)
        return told

    def decode(self, summed: NDArray[np.uint32], weight: float) -> NDArray[np.float64]:
        """The weighted mean from the sum, with `weight` that of all sites in it."""
        return summed.view(np.int32).astype(np.float64) * (self.step / weight)


def flattened(arrays: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """All values as one vector, array by array in the order of their names, each in C order: the other way round is
    `wardround.learning.wire.shaped`."""
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])
