"""The seam between a round's average and the model of the next round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wardround.learning.arrays import Arrays


@dataclass(frozen=True)
class Step:
    """What follows a whole round: the new model, and what the strategy has to remember until the next one.

    `state` is float32 like the model, and both are rounded to that in every round, so that a run which resumes from
    what is on disk goes on as it would have without the interruption, to the bit.
    """

    model: Arrays
    state: Arrays


class Strategy(Protocol):
    """Makes the next model from the round's average, on the hub, with NumPy alone. It remembers nothing itself.

    Updates are averaged as they arrive (`wardround.learning.aggregation.WeightedMean`), so neither the order of their
    arrival nor the number of sites matters to a strategy: it sees the one average.
    """

    @property
    def averages(self) -> bool:
        """Whether the average as it is becomes the next model, so that no step is needed."""

    def begin(self, model: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """The state before the first round of a run that begins with `model`; empty where nothing is remembered."""

    def told(self, model: Mapping[str, NDArray[np.float32]], state: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """What the sites are given at the start of a round: the model, and whatever of the state they need."""

    def step(
        self,
        model: Mapping[str, NDArray[np.float32]],
        state: Mapping[str, NDArray[np.float32]],
        average: Mapping[str, NDArray[np.float32]],
    ) -> Step:
        """The next model.

        Args:
            model: the weights that the round began with.
            state: what `begin` or the step before gave.
            average: the weighted mean of what the sites made of `told(model, state)`, with the same names and shapes.

        Raises:
            ArraysRefused: the arrays aren't of one model, the state isn't this strategy's, or a value isn't finite.
        """
