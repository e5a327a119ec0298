"""One model of several that hospitals trained on their own, from the same first weights: averages, and greedy soups.

Wortsman, Ilharco, Gadre, Roelofs, Gontijo-Lopes, Morcos, Namkoong, Farhadi, Carmon, Kornblith, Schmidt: Model soups:
averaging weights of multiple fine-tuned models improves accuracy without increasing inference time, ICML 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import Arrays, ArraysRefused

Score = Callable[[tuple[str, ...]], float | None]
"""How good the average of these models is, the larger the better; None: nobody has judged it yet."""


def merged(models: Iterable[tuple[Arrays, float]]) -> Arrays:
    """The mean of models, each by its weight, one after the other in memory.

    Raises:
        ArraysRefused: they aren't of one network, a value isn't finite, or there is none (`empty`).
    """
    mean: WeightedMean | None = None
    for arrays, weight in models:
        mean = WeightedMean(arrays) if mean is None else mean
        mean.add(arrays, weight)
    if mean is None:
        raise ArraysRefused("empty", "there is no model to merge")
    return mean.result()


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
