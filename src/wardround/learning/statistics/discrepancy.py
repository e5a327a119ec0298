"""Whether images are like those before: maximum mean discrepancy of a few numbers on each (Gretton, JMLR 13, 2012)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SLICES = 16
_BINS = 32
_AT_FIRST, _AT_ONCE = 40, 500
"""Permutations in a batch: a few tell most samples that don't differ."""
_SEED = 20121
NAMES = ("contrast", "skewness", "tails", "lower", "upper", "bright", "roughness", "entropy")
"""What `image_statistics` tells, in its order."""


def image_statistics(image: NDArray[np.float32]) -> tuple[float, ...] | None:
    """A few numbers on a volume by which a change of scanner, protocol or reconstruction shows, whatever its unit and
    its zero.

    Of at most 16 slices, evenly spaced, the voxels above their mean: their spread over how far they are from the
    others, skewness, kurtosis, three quantiles from the median in units of the spread, the mean step between neighbours
    in the same, and the entropy of a histogram of 32 bins, in bits. None of an image that has nothing above its mean.

    Args:
        image: (Z, Y, X).
    """
    chosen = np.unique(np.linspace(0, image.shape[0] - 1, _SLICES).astype(int))
    slices = np.asarray(image[chosen], np.float64)
    above = slices > slices.mean()
    values = slices[above]
    spread = float(values.std()) if values.size else 0.0
    if not (spread > 0 and math.isfinite(spread)):
        return None
    standard = (values - values.mean()) / spread
    lower, middle, upper, bright = np.quantile(standard, (0.25, 0.5, 0.75, 0.95))
    squares = standard * standard
    steps = np.abs(np.diff(slices, axis=2))[above[:, :, 1:] & above[:, :, :-1]]
    shares = np.bincount(np.clip((standard * 4 + _BINS / 2).astype(int), 0, _BINS - 1), minlength=_BINS) / values.size
    told = (
        spread / float(values.mean() - slices[~above].mean()),
        float((squares * standard).mean()),
        float((squares * squares).mean()),
        lower - middle,
        upper - middle,
        bright - middle,
        float(steps.mean()) / spread if steps.size else 0.0,
        float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum()),
    )
    return tuple(float(f"{one:.6g}") for one in told)


def differs(before: Sequence[Sequence[float]], now: Sequence[Sequence[float]], alarms: float) -> float:
    """How sure it is that two samples are of different distributions: the p of a permutation test of their MMD, with a
    Gaussian kernel of the median distance, each number in units of its spread over both. It is exact: where both are of
    one distribution it is `alarms` or less in at most that share of cases, whatever that distribution is.

    Args:
        alarms: the share of false alarms at which the answer is needed; so many permutations are drawn as tell it, from
            a fixed seed. Above it p is told as soon as it is known to be above.
    """
    first, second = np.asarray(before, np.float64), np.asarray(now, np.float64)
    every = np.concatenate([first, second])
    # Of both together: a scale that knew which is which would make the permutations unlike what was seen.
    spread = every.std(axis=0)
    every /= np.where(spread > 0, spread, 1.0)
    squares = (every**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * every @ every.T, 0.0)
    middle = float(np.median(distances[np.triu_indices(len(every), 1)])) or 1.0
    kernel = np.exp(-distances / middle)
    weights = np.concatenate([np.full(len(first), -1 / len(first)), np.full(len(second), 1 / len(second))])
    seen = float(weights @ kernel @ weights)
    draws = np.random.default_rng(_SEED)
    wanted = math.ceil(2 / alarms) - 1
    as_far, done = 0, 0
    while done < wanted:
        count = min(max(_AT_FIRST, done), _AT_ONCE, wanted - done)
        drawn = draws.permuted(np.broadcast_to(weights, (count, len(weights))), axis=1)
        as_far += int((((drawn @ kernel) * drawn).sum(axis=1) >= seen - 1e-12).sum())
        done += count
        if (1 + as_far) / (1 + wanted) > alarms:
            break
    return (1 + as_far) / (1 + done)
