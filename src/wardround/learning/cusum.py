"""Cumulative sum charts: when what comes is no longer what usually came, and how often that is said for nothing.

The chart of Page (Biometrika 41, 1954) in its form by likelihood ratios: each observation adds the logarithm of how
much likelier it is after the change than before, and the sum never falls below 0. The average run length to an alarm is
that of a Markov chain over the sum's states (Brook and Evans, Biometrika 59, 1972).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_STATES = 240
_HIGHEST = 25.0
"""Of thresholds: beyond it no run length that anybody would ask for lies."""
_MANY = 200
"""Degrees of freedom beyond which a series tells Student's t, to ten digits."""
_FARTHEST = -NormalDist().inv_cdf(1e-12)
_STEP = 0.04
"""Of a sum of events: about so much of the likelihood's logarithm."""


@dataclass(frozen=True)
class Share:
    """Events (1) or none (0), whose share goes from `usual` to `changed`, both between 0 and 1 and not alike.

    What an observation adds is rounded to a lattice, on which the run length is exact (as Reynolds and Stoumbos,
    Journal of Quality Technology 31, 1999, do it).
    """

    usual: float
    changed: float

    def weight(self, value: float) -> float:
        """What one observation adds to the sum."""
        with_event, without, unit = self._lattice
        return unit * (with_event if value else without)

    @property
    def _lattice(self) -> tuple[int, int, float]:
        with_event = math.log(self.changed / self.usual)
        without = math.log((1 - self.changed) / (1 - self.usual))
        smaller = min(abs(with_event), abs(without))
        unit = smaller / max(1, round(smaller / _STEP))
        return round(with_event / unit), round(without / unit), unit

    def run_length(self, threshold: float) -> float:
        """How many usual observations it takes on average until the sum is above `threshold`, beginning at 0."""
        with_event, without, unit = self._lattice
        states = math.floor(threshold / unit + 1e-9) + 1
        steps = np.zeros((states, states))
        for place in range(states):
            for step, likely in ((with_event, self.usual), (without, 1 - self.usual)):
                if place + step < states:
                    steps[place, max(0, place + step)] += likely
        return _expected(steps)


@dataclass(frozen=True)
class Shift:
    """Values of mean 0 and standard deviation 1, whose mean goes to `by`, not 0."""

    by: float

    def weight(self, value: float) -> float:
        """As `Share.weight`."""
        return self.by * (value - self.by / 2)

    def run_length(self, threshold: float) -> float:
        """As `Share.run_length`."""
        width = threshold / (_STATES - 0.5)
        places = np.arange(_STATES) * width
        # A state covers half a width on both sides of its place, the first one all that is below.
        edges = (places[None, :] + width / 2 - places[:, None] + self.by * self.by / 2) / abs(self.by)
        below = np.array([[0.5 * math.erfc(-edge / math.sqrt(2)) for edge in row] for row in edges])
        return _expected(np.diff(below, axis=1, prepend=0.0))


def _expected(steps: NDArray[np.float64]) -> float:
    """Steps until a chain that begins in its first state has left all states, of the probabilities between them."""
    return float(np.linalg.solve(np.eye(len(steps)) - steps, np.ones(len(steps)))[0])


class Scores:
    """Holds values against all that came before, each as if of mean 0 and standard deviation 1; the first two are 0.

    While nothing changes, those of normally distributed values are independent and exactly so, without a mean or a
    deviation that would have to be known (self-starting chart; Hawkins, The Statistician 36, 1987).
    """

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def of(self, value: float) -> float:
        """The score of the next value."""
        count, score = self._count, 0.0
        if count >= 2 and self._squares > 0:
            deviation = math.sqrt(self._squares / (count - 1))
            score = _normal((value - self._mean) / deviation * math.sqrt(count / (count + 1)), count - 1)
        before = value - self._mean
        self._count += 1
        self._mean += before / self._count
        self._squares += before * (value - self._mean)
        return score


def _normal(t: float, freedom: int) -> float:
    """The normal score that is as likely as this value of Student's t (Abramowitz and Stegun, 26.7.3 and 26.7.4; of
    many degrees of freedom by Hill's series, Algorithm 395, Communications of the ACM 13, 1970)."""
    if freedom > _MANY:
        many = 48 * (freedom - 0.5) ** 2
        square = (freedom - 0.5) * math.log1p(t * t / freedom)
        series = ((-0.4 * square - 3.3) * square - 24) * square - 85.5
        score = ((series / (0.8 * square * square + 100 + many) + square + 3) / many + 1) * math.sqrt(square)
        return math.copysign(min(score, _FARTHEST), t)
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for place in range(2 if odd else 1, freedom, 2):
        total += term
        term *= cosine * cosine * place / (place + 1)
    inner = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return NormalDist().inv_cdf(min(max((1 + inner) / 2, 1e-12), 1 - 1e-12))


def sums(change: Share | Shift, values: Iterable[float], start: float = 0.0) -> list[float]:
    """The chart after each observation, from where it stood."""
    found, total = [], start
    for value in values:
        total = max(0.0, total + change.weight(value))
        found.append(total)
    return found


@lru_cache(maxsize=256)
def threshold(change: Share | Shift, length: float) -> float:
    """The lowest threshold with at least this average run length, to a hundredth.

    Raises:
        ValueError: there is none within reason.
    """
    low, high = 0.01, _HIGHEST
    if change.run_length(high) < length:
        raise ValueError(f"no threshold gives a run of {length:g} to an alarm for nothing")
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if change.run_length(middle) >= length else (middle, high)
    return high
