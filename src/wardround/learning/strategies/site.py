"""A site's part of an algorithm: what it trains from what it was given, what may leave of that, and what it keeps.

The hub's part is `wardround.learning.strategies.strategy`. All that a site remembers from one round to the next is what
`Turn.own` holds, so that a round which is done again from the same weights and the same memory comes out the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.algorithm import Algorithm, Ditto, Scaffold
from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.layers import Sharing
from wardround.learning.steering import Steering
from wardround.learning.strategies.choice import proximal_weight
from wardround.learning.strategies.control import CONTROL, parted, renewed

PERSONAL = "personal:"
"""The names of a personal model's arrays among what a site keeps: this, and the model's own."""


@dataclass(frozen=True)
class Trained:
    """What training gave: whole weights, the mean loss over its steps, how many steps, the sum of their rates."""

    arrays: Arrays = field(repr=False)
    loss: float
    steps: int
    rates: float


class Train(Protocol):
    """Trains a whole model on this site's patients for one round, from the weights given.

    `personal`: another model than the one whose training leaves as an update.
    """

    def __call__(self, arrays: Arrays, steering: Steering, /, *, personal: bool = False) -> Trained: ...


@dataclass(frozen=True)
class Turn:
    """What a site made of a round. `update` has the names and shapes of what it was given; `own` never leaves."""

    update: Arrays = field(repr=False)
    own: Arrays = field(repr=False)
    loss: float
    steps: int


def weights_told(algorithm: Algorithm, told: Arrays) -> Arrays:
    """Of what the hub tells at the start of a round, the weights. Raises `ArraysRefused` (`wrong-names`)."""
    return parted(told)[0] if isinstance(algorithm, Scaffold) else told


def whole_model(
    told: Mapping[str, NDArray[np.float32]],
    own: Mapping[str, NDArray[np.float32]],
    began: Mapping[str, NDArray[np.float32]],
    sharing: Sharing,
) -> Arrays:
    """The model as it is at this site: what travels as it was told, its own layers, and the rest as the run began.

    Args:
        told: the travelling weights, and nothing else.
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


def personal_model(own: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """The whole model that is this site's alone; empty before its first round, and where the plan has none."""
    return {name.removeprefix(PERSONAL): array for name, array in own.items() if name.startswith(PERSONAL)}


def take_turn(algorithm: Algorithm, sharing: Sharing, told: Arrays, own: Arrays, model: Arrays, train: Train) -> Turn:
    """One round at this site.

    Args:
        told: what the hub told.
        own: what this site kept of the round before; empty in its first.
        model: as `whole_model` has it of both.

    Raises:
        ArraysRefused: what was told isn't what this algorithm tells; and what `train` raises.
    """
    plain = Steering(proximal=proximal_weight(algorithm), frozen=sharing.frozen)
    if isinstance(algorithm, Scaffold):
        return _controlled(algorithm, sharing, told, own, model, train)
    trained = train(model, plain)
    kept = sharing.at_home_of(trained.arrays)
    if isinstance(algorithm, Ditto):
        held = Steering(proximal=algorithm.strength, held_to=model, frozen=sharing.frozen)
        personal = train(personal_model(own) or model, held, personal=True)
        kept |= {PERSONAL + name: array for name, array in personal.arrays.items()}
    return Turn(sharing.travelling_of(trained.arrays), kept, trained.loss, trained.steps)


def _controlled(algorithm: Scaffold, sharing: Sharing, told: Arrays, own: Arrays, model: Arrays, train: Train) -> Turn:
    weights, control = parted(told)
    mine = {name: own.get(CONTROL + name, np.zeros_like(array)) for name, array in weights.items()}
    drift = {name: control[name] - mine[name] for name in weights}
    trained = train(model, Steering(frozen=sharing.frozen, descent=algorithm.local_rate, correction=drift))
    travelled = sharing.travelling_of(trained.arrays)
    following, update = renewed(mine, told, travelled, rates=trained.rates)
    kept = sharing.at_home_of(trained.arrays) | {CONTROL + name: array for name, array in following.items()}
    return Turn(update, kept, trained.loss, trained.steps)
