"""Reader studies: several readers who each read all cases in each of several ways, as with and without a model.

The analysis of variance of Obuchowski and Rockette (Communications in Statistics, Simulation and Computation 24(2),
1995) with the denominator's degrees of freedom of Hillis (Statistics in Medicine 26(3), 2007): what holds for other
readers and other cases than these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wardround.learning.intervals import Interval
from wardround.learning.statistics.distribution import f_above, t_quantile
from wardround.learning.statistics.roc import areas


@dataclass(frozen=True)
class Covariances:
    """Of areas over cases, on average: `variance` of one, `same_reader` of one reader's two ways, `same_way` of two
    readers in one way, `neither` of two readers in two ways. The paper calls the last three Cov1, Cov2 and Cov3."""

    variance: float
    same_reader: float
    same_way: float
    neither: float


@dataclass(frozen=True)
class ReaderStudy:
    """Two ways of reading compared over readers and cases.

    Attributes:
        ways: the mean area of each way over its readers. difference: the second's less the first's.
        f, freedom, p: the test that there is none; 1 and `freedom` degrees of freedom.
        by_reader: (2, R) areas.
    """

    ways: tuple[float, float]
    difference: Interval
    f: float
    freedom: float
    p: float
    by_reader: tuple[tuple[float, ...], tuple[float, ...]]


def reader_study(ratings: ArrayLike, positive: Sequence[bool], level: float = 0.95) -> ReaderStudy:
    """Two ways of reading by the areas under the readers' ROC curves.

    Args:
        ratings: (2, R, N): way, reader, case; higher for the finding. positive: (N,).

    Raises:
        ValueError: there aren't two ways or at least two readers, or as `roc.areas`.
    """
    table = np.asarray(ratings, np.float64)
    if table.ndim != 3 or table.shape[0] != 2 or table.shape[1] < 2:
        raise ValueError(f"a reader study is of two ways and two readers or more, not of shape {table.shape}")
    readers = table.shape[1]
    found, covariance = areas(table.reshape(2 * readers, -1), positive)
    by_reader = found.reshape(2, readers)
    return analyse(by_reader, covariances(covariance, readers), level)


def covariances(covariance: NDArray[np.float64], readers: int) -> Covariances:
    """The averages of a covariance (2R, 2R) of areas, in the order of way and then reader."""
    way, reader = np.divmod(np.arange(2 * readers), readers)
    one_way, one_reader = np.equal.outer(way, way), np.equal.outer(reader, reader)
    return Covariances(
        variance=float(covariance[one_way & one_reader].mean()),
        same_reader=float(covariance[~one_way & one_reader].mean()),
        same_way=float(covariance[one_way & ~one_reader].mean()),
        neither=float(covariance[~one_way & ~one_reader].mean()),
    )


def analyse(by_reader: NDArray[np.float64], over_cases: Covariances, level: float = 0.95) -> ReaderStudy:
    """The test and the interval from areas (2, R) and their covariances over cases."""
    readers = by_reader.shape[1]
    means, each = by_reader.mean(1), by_reader.mean(0)
    difference = float(means[1] - means[0])
    of_ways = readers * float(((means - means.mean()) ** 2).sum())
    rest = by_reader - means[:, None] - each[None, :] + by_reader.mean()
    of_rest = float((rest**2).sum()) / (readers - 1)
    against = of_rest + readers * max(over_cases.same_way - over_cases.neither, 0.0)
    told = tuple(tuple(float(one) for one in row) for row in by_reader)
    ways = (float(means[0]), float(means[1]))
    if against <= 0:
        same = difference == 0
        flat = Interval(difference, difference, difference, level)
        return ReaderStudy(ways, flat, 0.0 if same else math.inf, math.inf, 1.0 if same else 0.0, (told[0], told[1]))
    freedom = against**2 * (readers - 1) / of_rest**2 if of_rest > 0 else 1e6
    freedom = min(freedom, 1e6)  # beyond it Student's t is the normal distribution
    half = t_quantile(level, freedom) * math.sqrt(2 * against / readers)
    return ReaderStudy(
        ways=ways,
        difference=Interval(difference, difference - half, difference + half, level),
        f=of_ways / against,
        freedom=freedom,
        p=f_above(of_ways / against, 1, freedom),
        by_reader=(told[0], told[1]),
    )
