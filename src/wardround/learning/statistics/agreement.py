"""How far two readers, or a reader and a model, say the same of the same cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from wardround.learning.intervals import Interval

Weights = Literal["none", "linear", "quadratic"]


def kappa(table: ArrayLike, weights: Weights = "none", level: float = 0.95) -> Interval | None:
    """Cohen's kappa over categories in order (Psychological Bulletin 70(4), 1968), with the interval of Fleiss, Cohen
    and Everitt (Psychological Bulletin 72(5), 1969).

    Args:
        table: (C, C) counts, the first reader's categories down, the second's across.
        weights: what a disagreement costs: all alike, by steps, or by steps squared.

    Returns: None where there is no case, or both used one category alone.

    Raises:
        ValueError: the table isn't square, or a count is below 0.
    """
    counts = np.asarray(table, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts < 0).any():
        raise ValueError(f"kappa is of a square table of counts, not of shape {counts.shape}")
    cases, size = counts.sum(), len(counts)
    if cases == 0 or size < 2:
        return None
    seen = counts / cases
    steps = np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / (size - 1)
    credit = {"none": (steps == 0).astype(float), "linear": 1 - steps, "quadratic": 1 - steps**2}[weights]
    down, across = seen.sum(1), seen.sum(0)
    agreed, chance = float((credit * seen).sum()), float((credit * np.outer(down, across)).sum())
    if chance >= 1 - 1e-12:
        return None
    value = (agreed - chance) / (1 - chance)
    margins = np.add.outer(credit @ across, down @ credit)
    spread = (seen * (credit - margins * (1 - value)) ** 2).sum() - (value - chance * (1 - value)) ** 2
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(max(float(spread), 0.0) / cases) / (1 - chance)
    return Interval(value, max(-1.0, value - half), min(1.0, value + half), level)


def concordance(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Interval | None:
    """Lin's concordance correlation of two measurements of the same cases (Biometrics 45(1), 1989; its variance as
    corrected in Biometrics 56(1), 2000), with the interval by Fisher's z.

    None of fewer than three cases, or where either never varies.

    Raises:
        ValueError: there aren't as many of the one as of the other.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError("concordance is of two measurements of each case")
    if one.size < 3 or one.std() == 0 or other.std() == 0:
        return None
    together = float(((one - one.mean()) * (other - other.mean())).mean())
    apart = float(one.mean() - other.mean())
    value = 2 * together / (float(one.var()) + float(other.var()) + apart**2)
    if abs(value) >= 1 - 1e-12:
        return Interval(value, value, value, level)
    correlation = together / float(one.std() * other.std())
    shift = apart**2 / float(one.std() * other.std())
    c2, r2 = value * value, correlation * correlation
    variance = (
        (1 - r2) * c2 / ((1 - c2) * r2)
        + 2 * value**3 * (1 - value) * shift / (correlation * (1 - c2) ** 2)
        - c2 * c2 * shift * shift / (2 * r2 * (1 - c2) ** 2)
    ) / (one.size - 2)
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(max(variance, 0.0))
    middle = math.atanh(value)
    return Interval(value, math.tanh(middle - half), math.tanh(middle + half), level)
