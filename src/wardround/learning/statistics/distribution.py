"""Distribution functions that intervals and tests need: beta, F, Student's t and chi-squared.

By continued fractions and series (Press et al., Numerical Recipes, 3rd edition, sections 6.2 and 6.4), to about 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_TINY = 1e-300
_CLOSE = 1e-15
_TERMS = 20_000
_HALVINGS = 200


def beta_below(x: float, a: float, b: float) -> float:
    """The probability that a beta variable with parameters `a` and `b`, both above 0, is at most `x`."""
    if not 0 < x < 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def beta_quantile(share: float, a: float, b: float) -> float:
    """The value that a beta variable is at most with probability `share`, from 0 to 1."""
    return _inverse(lambda x: beta_below(x, a, b), share, 0.0, 1.0)


def f_above(value: float, above: float, below: float) -> float:
    """The probability that an F variable with degrees of freedom `above` (numerator) and `below` is over `value`."""
    return 1.0 if value <= 0 else beta_below(below / (below + above * value), below / 2, above / 2)


def t_beyond(value: float, freedom: float) -> float:
    """The probability that Student's t is further from 0 than `value` on either side."""
    return beta_below(freedom / (freedom + value * value), freedom / 2, 0.5)


def t_quantile(level: float, freedom: float) -> float:
    """How far from 0 Student's t is at most, with probability `level` (two-sided)."""
    x = _inverse(lambda at: beta_below(at, freedom / 2, 0.5), 1 - level, 0.0, 1.0)
    return math.sqrt(freedom * (1 - x) / x) if x > 0 else math.inf


def chi_squared_above(value: float, freedom: float) -> float:
    """The probability that a chi-squared variable is over `value`."""
    x, a = value / 2, freedom / 2
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for step in range(1, _TERMS):
            term *= x / (a + step)
            total += term
            if term < total * _CLOSE:
                break
        return 1 - front * total
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    found = d
    for step in range(1, _TERMS):
        factor = -step * (step - a)
        b += 2
        d = 1 / _not_nought(factor * d + b)
        c = _not_nought(b + factor / c)
        found *= d * c
        if abs(d * c - 1) < _CLOSE:
            break
    return front * found


def _fraction(x: float, a: float, b: float) -> float:
    c = 1.0
    d = 1 / _not_nought(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _TERMS):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _not_nought(1 + factor * d)
            c = _not_nought(1 + factor / c)
            found *= d * c
        if abs(d * c - 1) < _CLOSE:
            break
    return found


def _not_nought(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _inverse(rising: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where a rising function has a value, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2
