"""One model of several that hospitals trained on their own, from the same first weights: averages, and greedy soups.

Wortsman, Ilharco, Gadre, Roelofs, Gontijo-Lopes, Morcos, Namkoong, Farhadi, Carmon, Kornblith, Schmidt: Model soups:
averaging weights of multiple fine-tuned models improves accuracy without increasing inference time, ICML 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import Arrays, ArraysRefused, check

MEAN, VARIANCE = "running_mean", "running_var"
"""The last part of what PyTorch calls the statistics that a normalisation layer keeps."""

Score = Callable[[tuple[str, ...]], float | None]
"""How good the average of these models is, the larger the better; None: nobody has judged it yet."""


def merged(models: Iterable[tuple[Arrays, float]]) -> Arrays:
    """The mean of models, each by its weight, one after the other in memory.

    Variances that normalisation layers keep are those of all models' patients together, not the mean of the variances,
    which would leave out how the hospitals differ from one another: by the law of total variance, the mean of each
    variance and squared mean, less the square of the mean of means.

    Raises:
        ArraysRefused: they aren't of one network, a value isn't finite, or there is none (`empty`).
    """
    mean: WeightedMean | None = None
    squares: dict[str, NDArray[np.float64]] = {}
    firsts: dict[str, NDArray[np.float64]] = {}
    for arrays, weight in models:
        mean = WeightedMean(arrays) if mean is None else mean
        mean.add(arrays, weight)
        for name in statistics(arrays):
            middle = arrays[mean_of(name)].astype(np.float64)
            squares[name] = squares.get(name, 0.0) + weight * (arrays[name].astype(np.float64) + middle**2)
            firsts[name] = firsts.get(name, 0.0) + weight * middle
    if mean is None:
        raise ArraysRefused("empty", "there is no model to merge")
    found = mean.result()
    for name, square in squares.items():
        variance = square / mean.weight - (firsts[name] / mean.weight) ** 2
        found[name] = np.maximum(variance, 0).astype(np.float32)
    check(found)
    return found


def statistics(arrays: Arrays) -> list[str]:
    """The names of the variances that normalisation layers keep, each beside a mean of the same shape."""
    return [
        name
        for name in sorted(arrays)
        if name.rpartition(".")[2] == VARIANCE
        and mean_of(name) in arrays
        and arrays[mean_of(name)].shape == arrays[name].shape
    ]


def mean_of(variance: str) -> str:
    """The name of the mean beside a variance."""
    return variance.removesuffix(VARIANCE) + MEAN


def greedy_soup(ranked: Sequence[str], score: Score) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The greedy soup (recipe 1 of the paper): from the best model down, each stays in that makes the soup no worse.

    It is worked out anew from the scores whenever it is asked, so that nothing has to be remembered.

    Args:
        ranked: names of models, at least one, the best first.
        score: of the average of some of them; that of each alone is known.

    Returns:
        The soup so far, and the average that has to be judged before it can go on; None where it is done.
    """
    soup = tuple(ranked[:1])
    for name in ranked[1:]:
        trial = (*soup, name)
        found, so_far = score(trial), score(soup)
        if found is None:
            return soup, trial
        if so_far is None or found >= so_far:
            soup = trial
    return soup, None
