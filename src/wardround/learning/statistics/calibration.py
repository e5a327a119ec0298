"""Whether probabilities mean what they say: calibration in the large, slope, and expected calibration error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.learning.intervals import Interval, wald

_BINS = 10
_EDGE = 1e-6
"""Probabilities nearer to 0 or 1 than this are taken for so near; a logit needs an end."""


@dataclass(frozen=True)
class Calibration:
    """`slope` 1 and `intercept` 0 are right: a slope below 1 says too extreme, an intercept below 0 too high.

    Attributes:
        slope, intercept: with Wald intervals; None where the cases can't tell them, as where all are of one class or a
            line parts the classes whole.
        error: the expected calibration error over ten bins of equal width, from 0 to 1.
    """

    slope: Interval | None
    intercept: Interval | None
    error: float


def calibration(probabilities: Sequence[float], positive: Sequence[bool], level: float = 0.95) -> Calibration:
    """Cox's logistic recalibration (Biometrika 45, 1958): the slope is of the outcome on the logit of what was said,
    the intercept of calibration in the large has that slope held at 1 (Steyerberg and Vergouwe, European Heart Journal
    35(29), 2014). The error is that of Naeini, Cooper and Hauskrecht, AAAI 2015.

    Raises:
        ValueError: there is no case, or something isn't a probability.
    """
    said = np.asarray(probabilities, np.float64)
    truth = np.asarray(positive, bool).astype(np.float64)
    if said.size == 0 or said.shape != truth.shape or not ((said >= 0) & (said <= 1)).all():
        raise ValueError("calibration is of probabilities from 0 to 1, each with its outcome")
    inside = np.clip(said, _EDGE, 1 - _EDGE)
    logit = np.log(inside / (1 - inside))
    both = _logistic(np.column_stack([np.ones_like(logit), logit]), truth, np.zeros_like(logit))
    large = _logistic(np.ones((logit.size, 1)), truth, logit)
    return Calibration(
        slope=None if both is None else _interval(both, 1, level),
        intercept=None if large is None else _interval(large, 0, level),
        error=_error(said, truth),
    )


def _error(said: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    bins = np.minimum((said * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, truth - said, minlength=_BINS)
    return float(np.abs(gaps).sum() / said.size)


_Fitted = tuple[NDArray[np.float64], NDArray[np.float64]]


def _logistic(columns: NDArray[np.float64], truth: NDArray[np.float64], offset: NDArray[np.float64]) -> _Fitted | None:
    """Maximum likelihood by Newton's steps: estimates and their covariance; None where there is no maximum."""
    if truth.min() == truth.max():
        return None
    weights = np.zeros(columns.shape[1])
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(columns @ weights + offset, -500, 500)))
        information = columns.T @ (columns * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, columns.T @ (truth - fitted))
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            return weights, np.asarray(np.linalg.inv(information), np.float64)
    return None


def _interval(fitted: _Fitted, place: int, level: float) -> Interval:
    return wald(float(fitted[0][place]), math.sqrt(float(fitted[1][place, place])), level)
