"""A site's part of an algorithm: what it trains from what it was given, what may leave of that, and what it keeps.

The hub's part is `wardround.learning.strategies.strategy`. All that a site remembers from one round to the next is what
`Turn.own` holds, so that a round which is done again from the same weights and the same memory comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.algorithm import Algorithm
from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.layers import Sharing
from wardround.learning.steering import Steering
from wardround.learning.strategies.choice import proximal_weight


class Trained(Protocol):
    """What training gave: whole weights, the mean loss over its steps, how many steps."""

    @property
    def arrays(self) -> Arrays: ...

    @property
    def loss(self) -> float: ...

    @property
    def steps(self) -> int: ...


Train = Callable[[Arrays, Steering], Trained]
"""Trains a whole model on this site's patients for one round, from the weights given."""


@dataclass(frozen=True)
class Turn:
    """What a site made of a round. `update` has the names and shapes of what it was given; `own` never leaves."""

    update: Arrays = field(repr=False)
    own: Arrays = field(repr=False)
    loss: float
    steps: int


def whole_model(
    told: Mapping[str, NDArray[np.float32]],
    own: Mapping[str, NDArray[np.float32]],
    began: Mapping[str, NDArray[np.float32]],
    sharing: Sharing,
) -> Arrays:
    """The model as it is at this site: what travels as it was told, its own layers, and the rest as the run began.

    Args:
        told: the travelling arrays, and nothing else.
        own: what this site kept; empty before its first round.
        began: the run's initial weights, all of them.

    Raises:
        ArraysRefused: `wrong-names`, the hub told fewer arrays than travel, or told one that stays at home: what it
            tells comes back trained, so that would be the way out for a layer that never leaves.
    """
    if told.keys() != sharing.travelling:
        raise ArraysRefused("wrong-names", "the hub told other arrays than those that travel in this plan")
    kept = {name: own[name] for name in sorted(sharing.at_home & own.keys())}
    return {**began, **kept, **told}


def take_turn(algorithm: Algorithm, sharing: Sharing, model: Arrays, train: Train) -> Turn:
    """One round at this site.

    Args:
        model: as `whole_model` has it.

    Raises: what `train` raises.
    """
    trained = train(model, Steering(proximal=proximal_weight(algorithm), frozen=sharing.frozen))
    return Turn(
        update=sharing.travelling_of(trained.arrays),
        own=sharing.at_home_of(trained.arrays),
        loss=trained.loss,
        steps=trained.steps,
    )
