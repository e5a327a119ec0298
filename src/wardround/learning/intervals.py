"""How sure a number is: intervals of a proportion, and of a metric over patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from statistics import NormalDist

import numpy as np

from wardround.contracts.metric import MetricName
from wardround.learning.metrics import over

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its interval at `level`."""

    value: float
    low: float
    high: float
    level: float = 0.95


def wald(value: float, error: float, level: float = 0.95) -> Interval:
    """A value with the interval of its standard error, as though it were normally distributed."""
    half = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(value, value - half, value + half, level)


def proportion(part: int, whole: int, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval (Wilson, JASA 22(158), 1927), which holds at 0 and 1 and for small numbers.

    Raises:
        ValueError: `part` isn't from 0 to `whole`, or there is none to take a share of.
    """
    if not 0 <= part <= whole or whole < 1:
        raise ValueError(f"{part} of {whole} is no share")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(share, 0.0 if part == 0 else low, 1.0 if part == whole else high, level)


def over_patients(metric: MetricName, outcomes: Mapping[str, Sequence[float]], level: float = 0.95) -> Interval | None:
    """A metric over patients with its percentile bootstrap interval (Efron, Annals of Statistics 7(1), 1979).

    Patients are drawn anew `RESAMPLES` times, always the same way for the same outcomes. With few it is too narrow.

    None where these patients can't tell the metric; resamples that can't are left out.

    Raises:
        ValueError: an outcome isn't of this metric.
    """
    value = over(metric, outcomes)
    if value is None:
        return None
    names = sorted(outcomes)
    seed = sha256(repr([(name, *map(float, outcomes[name])) for name in names]).encode()).digest()
    draws = np.random.default_rng(int.from_bytes(seed[:8], "big")).integers(len(names), size=(RESAMPLES, len(names)))
    found = [over(metric, {str(place): outcomes[names[one]] for place, one in enumerate(draw)}) for draw in draws]
    told = [one for one in found if one is not None]
    low, high = np.percentile(told, [50 * (1 - level), 50 * (1 + level)])
    return Interval(value, float(low), float(high), level)
