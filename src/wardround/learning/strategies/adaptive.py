"""Adaptive optimisers at the hub: the difference that the average makes is taken for a gradient.

Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan: Adaptive Federated Optimization, ICLR 2021, algorithm 2
(FedAdagrad, FedYogi, FedAdam). As there, moments aren't corrected for their beginning at 0. The second moment begins at
0 here, where the paper leaves it open from `tau` squared upwards; `tau` in the denominator keeps steps bounded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.learning.arrays import Arrays, check
from wardround.learning.strategies.strategy import Step

FIRST = "first:"
SECOND = "second:"
"""The moments' names in the state: these, and the weight's own."""


@dataclass(frozen=True)
class Adaptive(ABC):
    """Implements `Strategy` but for how the second moment grows.

    rate: the hub's learning rate, above 0. beta1: of the first moment, from 0 to below 1. tau: above 0; the smaller,
    the more alike the steps of all weights are.
    """

    rate: float
    beta1: float
    tau: float

    averages = False

    @abstractmethod
    def second(self, moment: NDArray[np.float64], squared: NDArray[np.float64]) -> NDArray[np.float64]:
        """The next second moment, from the one before and the squared difference of this round."""

    def begin(self, model: Mapping[str, NDArray[np.float32]]) -> Arrays:
        return {f"{kind}{name}": np.zeros(model[name].shape, np.float32) for kind in (FIRST, SECOND) for name in model}

    def told(self, model: Mapping[str, NDArray[np.float32]], state: Mapping[str, NDArray[np.float32]]) -> Arrays:
        return dict(model)

    def step(
        self,
        model: Mapping[str, NDArray[np.float32]],
        state: Mapping[str, NDArray[np.float32]],
        average: Mapping[str, NDArray[np.float32]],
    ) -> Step:
        check(average, like=model)
        check(state, like=self.begin(model))
        moved: Arrays = {}
        kept: Arrays = {}
        # One weight after the other: only one of them is in float64 at a time.
        for name in sorted(model):
            before = model[name].astype(np.float64)
            change = average[name].astype(np.float64) - before
            first = self.beta1 * state[FIRST + name].astype(np.float64) + (1 - self.beta1) * change
            second = self.second(state[SECOND + name].astype(np.float64), change * change)
            with np.errstate(over="ignore", invalid="ignore"):  # what doesn't fit float32 is refused below
                kept[FIRST + name] = first.astype(np.float32)
                kept[SECOND + name] = second.astype(np.float32)
                step = self.rate * first / (np.sqrt(second) + self.tau)
                moved[name] = np.asarray(before + step, np.float32)
        check(moved)
        check(kept)
        return Step(moved, kept)


@dataclass(frozen=True)
class Adam(Adaptive):
    """FedAdam. `beta2`: of the second moment, from 0 to below 1."""

    beta2: float

    def second(self, moment: NDArray[np.float64], squared: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.beta2 * moment + (1 - self.beta2) * squared


@dataclass(frozen=True)
class Yogi(Adaptive):
    """FedYogi: the second moment moves by no more than the squared difference allows. `beta2` as for `Adam`."""

    beta2: float

    def second(self, moment: NDArray[np.float64], squared: NDArray[np.float64]) -> NDArray[np.float64]:
        return moment - (1 - self.beta2) * squared * np.sign(moment - squared)


@dataclass(frozen=True)
class Adagrad(Adaptive):
    """FedAdagrad: the second moment only grows."""

    def second(self, moment: NDArray[np.float64], squared: NDArray[np.float64]) -> NDArray[np.float64]:
        return moment + squared
