"""How many cases it takes to know something, asked before they are looked at."""

from __future__ import annotations

import math
from statistics import NormalDist

from wardround.learning.statistics.share import exact


def cases_for_width(share: float, half_width: float, level: float = 0.95) -> int:
    """How many cases, so that a share's interval reaches no further than `half_width` to either side (Buderer, Academic
    Emergency Medicine 3(9), 1996).

    Raises:
        ValueError: the share or the width isn't between 0 and 1.
    """
    if not 0 < share < 1 or not 0 < half_width < 1:
        raise ValueError("a share and the width of its interval lie between 0 and 1")
    z = NormalDist().inv_cdf((1 + level) / 2)
    return math.ceil(z * z * share * (1 - share) / half_width**2)


def cases_above(bar: float, expected: float, power: float = 0.8, level: float = 0.95) -> int:
    """How many cases, so that the exact interval of a share which is truly `expected` lies above `bar` with probability
    `power` or more, from there on.

    Raises:
        ValueError: `expected` isn't above `bar`, or either isn't between 0 and 1; or it would take over 100,000.
    """
    if not 0 < bar < expected < 1:
        raise ValueError("what is expected has to be above the bar, both between 0 and 1")
    z = NormalDist().inv_cdf((1 + level) / 2)
    z_power = NormalDist().inv_cdf(power)
    rough = ((z * math.sqrt(bar * (1 - bar)) + z_power * math.sqrt(expected * (1 - expected))) / (expected - bar)) ** 2
    if rough > 100_000:
        raise ValueError(f"to tell {expected:g} from {bar:g} takes over 100,000 cases")
    cases = max(1, math.floor(rough * 0.7))
    # The exact test's power saws: it counts from the number on from which it stays.
    enough = [
        cases + more for more in range(math.ceil(rough) + 40) if _power(cases + more, bar, expected, level) < power
    ]
    return (enough[-1] + 1) if enough else cases


def of_all(cases: int, prevalence: float) -> int:
    """How many arrivals hold so many cases with a finding, on average. Raises `ValueError` for no prevalence."""
    if not 0 < prevalence <= 1:
        raise ValueError("a prevalence is above 0, and at most 1")
    return math.ceil(cases / prevalence)


def _power(cases: int, bar: float, expected: float, level: float) -> float:
    """The probability that the exact interval's lower bound is above the bar."""
    low, high = 0, cases + 1
    while low < high:  # the fewest successes that reach it
        middle = (low + high) // 2
        reaches = middle <= cases and exact(middle, cases, level).low > bar
        low, high = (low, middle) if reaches or middle > cases else (middle + 1, high)
    return math.fsum(_likely(hits, cases, expected) for hits in range(low, cases + 1))


def _likely(hits: int, cases: int, share: float) -> float:
    ways = math.lgamma(cases + 1) - math.lgamma(hits + 1) - math.lgamma(cases - hits + 1)
    return math.exp(ways + hits * math.log(share) + (cases - hits) * math.log1p(-share))
