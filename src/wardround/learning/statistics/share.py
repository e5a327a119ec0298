"""A share of cases with an interval that holds for few of them too."""

from __future__ import annotations

from wardround.learning.intervals import Interval
from wardround.learning.statistics.distribution import beta_quantile


def exact(part: int, whole: int, level: float = 0.95) -> Interval:
    """A share with its exact interval (Clopper and Pearson, Biometrika 26(4), 1934), which never covers less often than
    it says, and so is wide for few cases. `intervals.proportion` is Wilson's, which covers that often on average.

    Raises:
        ValueError: `part` isn't from 0 to `whole`, or there is none to take a share of.
    """
    if not 0 <= part <= whole or whole < 1:
        raise ValueError(f"{part} of {whole} is no share")
    tail = (1 - level) / 2
    low = 0.0 if part == 0 else beta_quantile(tail, part, whole - part + 1)
    high = 1.0 if part == whole else beta_quantile(1 - tail, part + 1, whole - part)
    return Interval(part / whole, low, high, level)
