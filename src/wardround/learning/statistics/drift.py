"""Whether numbers are distributed as they were: in use, against where a model was validated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_TERMS = 100


@dataclass(frozen=True)
class Drift:
    """`distance`: Kolmogorov and Smirnov's, the largest gap of the two distributions, and `p` of it. `stability`: the
    population stability index over tenths of the first; below 0.1 is held to be little, above 0.25 much."""

    distance: float
    p: float
    stability: float


def drift(before: Sequence[float], now: Sequence[float]) -> Drift | None:
    """The two-sample test (Kolmogorov 1933, Smirnov 1948; p by the asymptotic series with Stephens' correction, JRSS B
    32(1), 1970), and the index of Siddiqi, Credit Risk Scorecards, 2006. None of fewer than ten of either."""
    first, second = np.sort(np.asarray(before, np.float64)), np.sort(np.asarray(now, np.float64))
    if first.size < 10 or second.size < 10:
        return None
    every = np.concatenate([first, second])
    below_first = np.searchsorted(first, every, "right") / first.size
    below_second = np.searchsorted(second, every, "right") / second.size
    distance = float(np.abs(below_first - below_second).max())
    size = math.sqrt(first.size * second.size / (first.size + second.size))
    scaled = (size + 0.12 + 0.11 / size) * distance
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, _TERMS))
    p = 1.0 if scaled < 0.2 else min(1.0, max(0.0, 2 * math.fsum(terms)))
    edges = np.unique(np.quantile(first, np.linspace(0, 1, 11)[1:-1]))
    shares = []
    for values in (first, second):
        counts = np.bincount(np.searchsorted(edges, values, "left"), minlength=edges.size + 1)
        shares.append((counts + 0.5) / (values.size + 0.5 * (edges.size + 1)))
    stability = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    return Drift(distance, p, stability)
