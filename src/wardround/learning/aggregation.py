"""Federated averaging as a stream: one update at a time, in memory that doesn't grow with the number of sites.

McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-Efficient Learning of Deep Networks from
Decentralized Data, AISTATS 2017 (FedAvg).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wardround.learning.arrays import Arrays, ArraysRefused, check

TILE = 32 * 1024
"""So many values are worked on at a time: what is made of them on the way stays in the processor's cache."""


class WeightedMean:
    """The weighted mean of updates (weights or deltas alike) of the model `like`.

    It keeps one float64 sum per value. An update that is refused leaves the sum as it was.
    """

    def __init__(self, like: Mapping[str, NDArray[np.float32]], *, largest_norm: float | None = None) -> None:
        check(like)
        self._shapes = {name: np.empty(like[name].shape, np.float32) for name in sorted(like)}
        self._largest_norm = largest_norm
        self._sums = {name: np.zeros(like[name].shape, np.float64) for name in sorted(like)}
        self._weight = 0.0
        self._count = 0

    @property
    def count(self) -> int:
        """How many updates were taken in."""
        return self._count

    @property
    def weight(self) -> float:
        """The sum of their weights."""
        return self._weight

    def add(self, update: Mapping[str, NDArray[np.float32]], weight: float) -> None:
        """Take one update in, with a weight above 0 (for FedAvg the site's number of training cases).

        Raises:
            ArraysRefused: names, shapes or types aren't the model's, a value isn't finite, the norm is above
                the limit, or the weight isn't a finite number above 0 (`wrong-weight`).
        """
        if not (math.isfinite(weight) and weight > 0):
            raise ArraysRefused("wrong-weight", f"the weight {weight} is not a finite number above 0")
        check(update, like=self._shapes, largest_norm=self._largest_norm)
        for name, summed in self._sums.items():
            _add(summed.reshape(-1), update[name].reshape(-1), weight)
        self._weight += weight
        self._count += 1

    def result(self) -> Arrays:
        """The mean of the updates so far, in float32.

        Raises:
            ArraysRefused: `empty`, no update was taken in; `not-finite`, the mean doesn't fit float32.
        """
        if self._count == 0:
            raise ArraysRefused("empty", "no update was taken in, so there is no mean")
        mean = {name: _quotient(summed, self._weight) for name, summed in self._sums.items()}
        check(mean)
        return mean


def _add(summed: NDArray[np.float64], values: NDArray[np.float32], weight: float) -> None:
    """`summed` + `values` * `weight` in its place; both have one dimension."""
    product = np.empty(min(TILE, summed.size))
    for start in range(0, summed.size, TILE):
        part = summed[start : start + TILE]
        np.multiply(values[start : start + TILE], weight, out=product[: part.size], dtype=np.float64)
        np.add(part, product[: part.size], out=part)


def _quotient(summed: NDArray[np.float64], weight: float) -> NDArray[np.float32]:
    found = np.empty(summed.shape, np.float32)
    flat, into = summed.reshape(-1), found.reshape(-1)
    with np.errstate(over="ignore"):  # what doesn't fit is refused by whoever looks at it
        for start in range(0, flat.size, TILE):
            into[start : start + TILE] = flat[start : start + TILE] / weight
    return found
