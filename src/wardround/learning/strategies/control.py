"""SCAFFOLD: control variates travel beside the weights and take the sites' drift from one another out of their steps.

Karimireddy, Kale, Mohri, Reddi, Stich, Suresh: SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, ICML
2020, algorithm 1 with option II, all sites taking part in every round. Weights and variates are averaged alike, each
site by its weight, so that the variates' mean is that of the very average which the hub makes.

It needs sites that step by plain gradient descent: a step has to be its rate times a gradient, corrected or not. The
rate may differ from step to step, for only the sum of all rates counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.learning.arrays import Arrays, ArraysRefused, check
from wardround.learning.strategies.strategy import Step

CONTROL = "control:"
"""The names of control variates where they travel beside weights: this, and the weight's own."""


@dataclass(frozen=True)
class Scaffold:
    """Implements `Strategy`. `rate`: the hub's learning rate; 1 takes the average as it is."""

    rate: float = 1.0

    averages = False

    def begin(self, model: Mapping[str, NDArray[np.float32]]) -> Arrays:
        return {name: np.zeros(array.shape, np.float32) for name, array in model.items()}

    def told(self, model: Mapping[str, NDArray[np.float32]], state: Mapping[str, NDArray[np.float32]]) -> Arrays:
        return {**model, **{CONTROL + name: array for name, array in state.items()}}

    def step(
        self,
        model: Mapping[str, NDArray[np.float32]],
        state: Mapping[str, NDArray[np.float32]],
        average: Mapping[str, NDArray[np.float32]],
    ) -> Step:
        check(state, like=model)
        check(average, like=self.told(model, state))
        moved: Arrays = {}
        for name in sorted(model):
            before = model[name].astype(np.float64)
            moved[name] = np.asarray(before + self.rate * (average[name] - before), np.float32)
        check(moved)
        return Step(moved, {name: average[CONTROL + name] for name in model})


def parted(told: Mapping[str, NDArray[np.float32]]) -> tuple[Arrays, Arrays]:
    """What a site was given, as weights and the hub's control variates by the weights' names.

    Raises:
        ArraysRefused: `wrong-names`, weights and variates aren't of one model.
    """
    weights = {name: array for name, array in told.items() if not name.startswith(CONTROL)}
    if told.keys() != weights.keys() | {CONTROL + name for name in weights}:
        raise ArraysRefused("wrong-names", "the hub told control variates of other weights than these")
    return weights, {name: told[CONTROL + name] for name in weights}


def renewed(
    own: Mapping[str, NDArray[np.float32]],
    told: Mapping[str, NDArray[np.float32]],
    trained: Mapping[str, NDArray[np.float32]],
    *,
    rates: float,
) -> tuple[Arrays, Arrays]:
    """After a site's steps: its next control variates, and the update that it sends.

    Args:
        own: the site's control variates in this round, zeros in its first.
        told: what it was given. Each of its steps went along its gradient, less `own`, plus the hub's variates.
        trained: the weights that it came to.
        rates: the sum of the rates of its steps, above 0.
    """
    began, control = parted(told)
    following, update = {}, dict(trained)
    for name in sorted(began):
        gone = (began[name].astype(np.float64) - trained[name]) / rates
        change = gone - control[name]
        following[name] = np.asarray(own[name] + change, np.float32)
        update[CONTROL + name] = np.asarray(control[name] + change, np.float32)
    check(update, like=told)
    return following, update
