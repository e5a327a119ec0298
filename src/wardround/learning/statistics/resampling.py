"""Intervals of whatever can be reckoned of cases, by drawing the cases anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from wardround.learning.intervals import RESAMPLES, Interval


def resampled(
    values: Sequence[float],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda drawn: drawn.mean(-1),
    level: float = 0.95,
) -> Interval | None:
    """A statistic of one value a case with its percentile bootstrap interval (Efron, Annals of Statistics 7(1), 1979),
    the same for the same values. With few cases it is too narrow. None without a case.

    Args:
        statistic: of an array, over its last axis; the mean where none is given.
    """
    if not len(values):
        return None
    given = np.sort(np.asarray(values, np.float64))
    seed = int.from_bytes(sha256(given.tobytes()).digest()[:8], "big")
    draws = np.random.default_rng(seed).integers(given.size, size=(RESAMPLES, given.size))
    low, high = np.percentile(statistic(given[draws]), [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(statistic(given)), float(low), float(high), level)
