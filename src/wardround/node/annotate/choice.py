"""Which case comes next: in order, at random, the one a model is least sure of, or the least like what was drawn."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from wardround.foundation.errors import NotFound
from wardround.node.annotate.subjects import Subject


@dataclass(frozen=True, slots=True)
class Trait:
    """look: how an image looks, as a vector. doubt: how unsure a model is of it, from 0, or None."""

    look: tuple[float, ...] = ()
    doubt: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a choice may go by: the traits of series, and which series have a label."""

    traits: Mapping[str, Trait]
    labelled: Collection[str]


Choice = Callable[[Sequence[Subject], Known], Sequence[Subject]]


def _first(subjects: Sequence[Subject], _known: Known) -> Sequence[Subject]:
    return subjects


def _random(subjects: Sequence[Subject], _known: Known) -> Sequence[Subject]:
    return random.SystemRandom().sample(list(subjects), len(subjects))


def _uncertainty(subjects: Sequence[Subject], known: Known) -> Sequence[Subject]:
    """Those of which no model was asked yet come last, in their order."""

    def doubt(subject: Subject) -> float:
        told = known.traits.get(subject.series, Trait()).doubt
        return -1.0 if told is None else told

    return sorted(subjects, key=doubt, reverse=True)


def _diversity(subjects: Sequence[Subject], known: Known) -> Sequence[Subject]:
    """The farthest from all that have a label (Sener and Savarese, core-set selection, ICLR 2018, the greedy step)."""
    done = [known.traits[series].look for series in known.labelled if series in known.traits]

    def distance(subject: Subject) -> float:
        look = known.traits.get(subject.series, Trait()).look
        if not look:
            return -1.0
        return min((math.dist(look, other) for other in done if len(other) == len(look)), default=0.0)

    return sorted(subjects, key=distance, reverse=True)


@dataclass(frozen=True, slots=True)
class Strategy:
    words: str
    order: Choice


STRATEGIES: Mapping[str, Strategy] = {
    "first": Strategy("In the order of patients", _first),
    "random": Strategy("At random", _random),
    "uncertainty": Strategy("The one that the model is least sure of", _uncertainty),
    "diversity": Strategy("The one least like those that have a label", _diversity),
}


CHOSEN = Strategy("The one that a person asked for", _first)
"""Of one case alone, so that it isn't in the list."""


def strategy_of(name: str) -> Strategy:
    """Raises `NotFound` where there is none of that name."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise NotFound(f"no strategy of this name; there are {', '.join(STRATEGIES)}") from None
