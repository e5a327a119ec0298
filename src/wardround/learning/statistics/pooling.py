"""One number of several hospitals' numbers, each with how sure it is: meta-analysis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wardround.learning.intervals import Interval, wald
from wardround.learning.statistics.distribution import chi_squared_above


@dataclass(frozen=True)
class Estimate:
    """One hospital's estimate and the standard error of it, both on one scale."""

    value: float
    error: float


@dataclass(frozen=True)
class Pooled:
    """Several estimates together.

    Attributes:
        fixed: as though all hospitals had one true value. random: as though theirs were drawn about a mean.
        between: the variance between hospitals (tau squared). heterogeneity: Cochran's Q; `p` of it.
        inconsistency: I squared, the share of the spread that isn't chance, from 0 to 1.
    """

    fixed: Interval
    random: Interval
    between: float
    heterogeneity: float
    p: float
    inconsistency: float


def pool(estimates: Sequence[Estimate], level: float = 0.95) -> Pooled:
    """Fixed effect by inverse variance and random effects (DerSimonian and Laird, Controlled Clinical Trials 7(3),
    1986), with I squared (Higgins and Thompson, Statistics in Medicine 21(11), 2002).

    Raises:
        ValueError: there is no estimate, or a standard error isn't above 0.
    """
    values = np.array([one.value for one in estimates], np.float64)
    variances = np.array([one.error for one in estimates], np.float64) ** 2
    if not len(values) or not (np.isfinite(values).all() and np.isfinite(variances).all() and (variances > 0).all()):
        raise ValueError("pooling is of estimates that each have a standard error above 0")
    weights = 1 / variances
    middle = float((weights * values).sum() / weights.sum())
    spread = float((weights * (values - middle) ** 2).sum())
    freedom = len(values) - 1
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    between = max(0.0, (spread - freedom) / scale) if freedom and scale > 0 else 0.0
    loosened = 1 / (variances + between)
    return Pooled(
        fixed=wald(middle, 1 / math.sqrt(weights.sum()), level),
        random=wald(float((loosened * values).sum() / loosened.sum()), 1 / math.sqrt(loosened.sum()), level),
        between=between,
        heterogeneity=spread,
        p=chi_squared_above(spread, freedom) if freedom else 1.0,
        inconsistency=max(0.0, (spread - freedom) / spread) if spread > 0 else 0.0,
    )


def pool_shares(shares: Sequence[tuple[int, int]], level: float = 0.95) -> Pooled:
    """Shares (part, whole) pooled on the scale of their logit and told as shares; half a case is added to each part and
    its rest where either is empty anywhere (Haldane, Annals of Human Genetics 20(4), 1956). `between` is of logits.

    Raises:
        ValueError: as `pool`, or something is no share.
    """
    for part, whole in shares:
        if not 0 <= part <= whole or whole < 1:
            raise ValueError(f"{part} of {whole} is no share")
    added = 0.5 if any(part in (0, whole) for part, whole in shares) else 0.0
    told = [(part + added, whole - part + added) for part, whole in shares]
    logits = [Estimate(math.log(yes / no), math.sqrt(1 / yes + 1 / no)) for yes, no in told]
    return as_shares(pool(logits, level))


def as_shares(pooled: Pooled) -> Pooled:
    """What was pooled as logits, told as shares."""
    fixed, random = (
        Interval(_share(one.value), _share(one.low), _share(one.high), one.level)
        for one in (pooled.fixed, pooled.random)
    )
    return Pooled(fixed, random, pooled.between, pooled.heterogeneity, pooled.p, pooled.inconsistency)


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
