"""The area under the ROC curve with DeLong's variance, and the test of two of them on the same cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wardround.learning.intervals import Interval, wald


@dataclass(frozen=True)
class Compared:
    """Two areas on the same cases: their difference (first less second) with its interval, z and two-sided p."""

    first: float
    second: float
    difference: Interval
    z: float
    p: float


def areas(ratings: ArrayLike, positive: Sequence[bool]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The areas of several ratings of the same cases, and their covariance over cases (DeLong, DeLong and
    Clarke-Pearson, Biometrics 44(3), 1988), by mid-ranks (Sun and Xu, IEEE Signal Processing Letters 21(11), 2014).

    Args:
        ratings: (K, N), higher for the finding. positive: (N,), whether each case has it.

    Returns: (K,) and (K, K).

    Raises:
        ValueError: fewer than two cases have the finding, or haven't; or the shapes don't fit.
    """
    table, truth = np.atleast_2d(np.asarray(ratings, np.float64)), np.asarray(positive, bool)
    if table.ndim != 2 or table.shape[1:] != truth.shape:
        raise ValueError(f"ratings of shape {table.shape} aren't of {truth.size} cases")
    with_it, without = table[:, truth], table[:, ~truth]
    many, others = with_it.shape[1], without.shape[1]
    if many < 2 or others < 2:
        raise ValueError("an area's variance needs two cases with the finding and two without")
    of_with, of_without = _placed(with_it, without), 1 - _placed(without, with_it)
    covariance = np.atleast_2d(np.cov(of_with)) / many + np.atleast_2d(np.cov(of_without)) / others
    return of_with.mean(1), covariance


def area(scores: Sequence[float], positive: Sequence[bool], level: float = 0.95) -> Interval:
    """One area with DeLong's interval on the scale of its logit, which stays between 0 and 1 (Pepe, The Statistical
    Evaluation of Medical Tests, 2003, section 5.2.4). Where all is told apart the variance is 0: the bound is then
    that of a share of all pairs' smaller side, by the rule of three.

    Raises:
        ValueError: as `areas`.
    """
    found, covariance = areas([scores], positive)
    value, variance = float(found[0]), float(covariance[0, 0])
    z = NormalDist().inv_cdf((1 + level) / 2)
    if not 0 < value < 1 or variance <= 0:
        truth = np.asarray(positive, bool)
        open_side = min(1.0, -math.log(1 - level) / min(int(truth.sum()), int((~truth).sum())))
        return Interval(value, max(0.0, value - open_side), min(1.0, value + open_side), level)
    middle, spread = math.log(value / (1 - value)), math.sqrt(variance) / (value * (1 - value))
    low, high = (1 / (1 + math.exp(-(middle + side * z * spread))) for side in (-1, 1))
    return Interval(value, low, high, level)


def compare(first: Sequence[float], second: Sequence[float], positive: Sequence[bool], level: float = 0.95) -> Compared:
    """The paired test of two areas on the same cases (DeLong et al., 1988). Areas that never differ give z 0 and p 1.

    Raises:
        ValueError: as `areas`.
    """
    found, covariance = areas([first, second], positive)
    difference = float(found[0] - found[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    spread = math.sqrt(max(variance, 0.0))
    z = difference / spread if spread > 1e-12 else (math.copysign(math.inf, difference) if difference else 0.0)
    p = math.erfc(abs(z) / math.sqrt(2))
    return Compared(float(found[0]), float(found[1]), wald(difference, spread, level), z, p)


def _placed(these: NDArray[np.float64], those: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each of these, the share of those that is lower, ties counting half: (K, M)."""
    rows = []
    for mine, theirs in zip(these, np.sort(those, axis=1), strict=True):
        ranks = np.searchsorted(theirs, mine, "left") + np.searchsorted(theirs, mine, "right")
        rows.append(ranks / (2 * theirs.size))
    return np.array(rows)
