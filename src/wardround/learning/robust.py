"""Averages that a few hostile updates can't move far. They need each site's own update, not only a masked sum.

The rules and their sources are those of `wardround.contracts.robust`.
`NormBound` and `TrimmedMean` hold as much for a hundred sites as for three; the median and Krum's rule have to hold
every update until the round closes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wardround.contracts import robust
from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import Arrays, ArraysRefused, check, norm


class Average(Protocol):
    """Takes updates in as they arrive, and gives what the round makes of them."""

    def add(self, update: Mapping[str, NDArray[np.float32]], weight: float) -> None:
        """Take one update in. Raises `ArraysRefused`, and is then as before."""

    def result(self) -> Arrays:
        """Of the updates so far, in float32. Raises `ArraysRefused`: `empty`, there are too few of them; `not-finite`,
        it doesn't fit."""


def average_of(rule: robust.Robust | None, model: Mapping[str, NDArray[np.float32]]) -> Average:
    """The average that a plan's rule asks for; without a rule the weighted mean.

    Args:
        model: where the updates began: the round's weights, or zeros of the same names and shapes for deltas.
    """
    match rule:
        case None:
            return WeightedMean(model)
        case robust.NormBound():
            return Bounded(model, rule.largest)
        case robust.TrimmedMean():
            return Trimmed(model, rule.trimmed)
        case robust.Median():
            return Median(model, rule.least_updates)
        case robust.MultiKrum():
            return Krum(model, rule.hostile, rule.least_updates)


class Bounded:
    """The weighted mean, with each difference from `model` cut to a norm of at most `largest`."""

    def __init__(self, model: Mapping[str, NDArray[np.float32]], largest: float) -> None:
        self._model = model
        self._largest = largest
        self._mean = WeightedMean(model)

    def add(self, update: Mapping[str, NDArray[np.float32]], weight: float) -> None:
        check(update, like=self._model)
        change = {name: update[name].astype(np.float64) - self._model[name] for name in sorted(self._model)}
        length = norm(change)
        if length <= self._largest:
            self._mean.add(update, weight)
            return
        scale = self._largest / length
        self._mean.add({name: (self._model[name] + scale * change[name]).astype(np.float32) for name in change}, weight)

    def result(self) -> Arrays:
        return self._mean.result()


class Trimmed:
    """The mean of every value without its `trimmed` largest and smallest, exact, in memory for 2 `trimmed` + 1 models.

    A value passes through the largest so far, what falls out of them through the smallest so far, and what falls out
    of these is summed. So nothing extreme ever enters a sum, where it would take the digits of the others with it.
    """

    def __init__(self, model: Mapping[str, NDArray[np.float32]], trimmed: int) -> None:
        self._model = model
        self._trimmed = trimmed
        shapes = {name: (trimmed, *model[name].shape) for name in sorted(model)}
        self._largest = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        self._smallest = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        self._sums = {name: np.zeros(model[name].shape, np.float64) for name in sorted(model)}
        self._count = 0

    def add(self, update: Mapping[str, NDArray[np.float32]], weight: float) -> None:
        check(update, like=self._model)
        for name, summed in self._sums.items():
            falling = update[name].copy()
            if self._count < self._trimmed:
                self._largest[name][self._count] = falling
                continue
            for kept in self._largest[name]:
                lower = np.minimum(kept, falling)
                np.maximum(kept, falling, out=kept)
                falling = lower
            if self._count < 2 * self._trimmed:
                self._smallest[name][self._count - self._trimmed] = falling
                continue
            for kept in self._smallest[name]:
                higher = np.maximum(kept, falling)
                np.minimum(kept, falling, out=kept)
                falling = higher
            np.add(summed, falling, out=summed)
        self._count += 1

    def result(self) -> Arrays:
        inner = self._count - 2 * self._trimmed
        if inner < 1:
            raise ArraysRefused("empty", f"{self._count} updates are too few to leave out {self._trimmed} at each end")
        return {name: np.asarray(summed / inner, np.float32) for name, summed in self._sums.items()}


class _Holding:
    """Holds every update until the round closes."""

    def __init__(self, model: Mapping[str, NDArray[np.float32]], least: int) -> None:
        self._model = model
        self._least = least
        self._held: list[Mapping[str, NDArray[np.float32]]] = []

    def add(self, update: Mapping[str, NDArray[np.float32]], weight: float) -> None:
        check(update, like=self._model)
        self._held.append(update)

    def _all(self) -> list[Mapping[str, NDArray[np.float32]]]:
        if len(self._held) < self._least:
            raise ArraysRefused("empty", f"{len(self._held)} updates are fewer than the {self._least} that are needed")
        return self._held


class Median(_Holding):
    """The median of every value."""

    def result(self) -> Arrays:
        held = self._all()
        with np.errstate(over="ignore"):  # what doesn't fit float32 is refused below
            values = {name: np.median([one[name] for one in held], axis=0) for name in sorted(self._model)}
        middle = {name: np.asarray(value, np.float32) for name, value in values.items()}
        check(middle)
        return middle


class Krum(_Holding):
    """The mean of all updates but those `hostile` whose nearest others are farthest away."""

    def __init__(self, model: Mapping[str, NDArray[np.float32]], hostile: int, least: int) -> None:
        super().__init__(model, least)
        self._hostile = hostile

    def result(self) -> Arrays:
        held = self._all()
        near = len(held) - self._hostile - 2
        away = np.zeros((len(held), len(held)))
        for one in range(len(held)):
            for other in range(one):
                with np.errstate(over="ignore"):  # two that are too far apart for float32 are far apart all the same
                    apart = norm({name: held[one][name] - held[other][name] for name in self._model})
                away[one, other] = away[other, one] = apart**2
        scores = [float(np.sort(np.delete(away[one], one))[:near].sum()) for one in range(len(held))]
        # Of equal scores those that came first would stay; the order of arrival must not decide, so contents do.
        kept = sorted(range(len(held)), key=lambda one: (scores[one], _content(held[one])))[: len(held) - self._hostile]
        mean = WeightedMean(self._model)
        for one in kept:
            mean.add(held[one], 1.0)
        return mean.result()


def _content(update: Mapping[str, NDArray[np.float32]]) -> tuple[bytes, ...]:
    return tuple(update[name].tobytes() for name in sorted(update))
