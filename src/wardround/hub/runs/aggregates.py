"""A run's aggregates in the hub's objects, each with what its algorithm remembers beside it.

An aggregate names the state that belongs to it in its own header. So the two can't part, the digest on the ledger
stands for both, and a leg that begins anew from an aggregate finds the state of that very round.
"""

from __future__ import annotations

from dataclasses import dataclass

from wardround.contracts.algorithm import Algorithm
from wardround.foundation.files import ObjectStore
from wardround.foundation.stored import Held
from wardround.learning.arrays import Arrays, ArraysRefused, beside, from_bytes, to_bytes
from wardround.learning.strategies.choice import strategy_of
from wardround.learning.strategies.strategy import Strategy


@dataclass(frozen=True)
class Kept:
    """An aggregate that is on the disk: its digest, and what sites are told at the start of the next round where that
    isn't the round's own average."""

    digest: str
    arrays: bytes = b""


def keep(objects: ObjectStore, algorithm: Algorithm, before: str, average: Held, *, first: bool) -> Kept:
    """Make the next aggregate of a round's average by the plan's algorithm, and keep it, flushed to the disk.

    Args:
        before: the digest of the aggregate that the round began with.
        average: the mean of the sites' weights.
        first: the round is the run's first, so that nothing is remembered yet.

    Raises:
        ArraysRefused: the average, or what the algorithm makes of it, isn't sound; `empty`, the aggregate before names
            no state.
        ObjectMissing, ObjectDamaged: the aggregate before, or the state that belongs to it, can't be read.
    """
    strategy = strategy_of(algorithm)
    if strategy.averages:
        return Kept(objects.put(average))
    began = objects.get(before)
    model = from_bytes(began)
    state = strategy.begin(model) if first else _state(objects, beside(began))
    step = strategy.step(model, state, from_bytes(average))
    with objects.batch() as batch:
        arrays = to_bytes(step.model, beside=batch.put(to_bytes(step.state)))
        digest = batch.put(arrays)
    return Kept(digest, _told(strategy, step.model, step.state, arrays))


def told(objects: ObjectStore, algorithm: Algorithm, digest: str, *, first: bool) -> Held:
    """What sites are told at the start of a round: the aggregate, and of its state whatever the algorithm tells.

    Args:
        digest: of the aggregate that the round begins with.
        first: as for `keep`.

    Raises: as `keep`.
    """
    strategy = strategy_of(algorithm)
    if strategy.averages:
        return objects.held(digest)
    arrays = objects.get(digest)
    model = from_bytes(arrays)
    return _told(strategy, model, strategy.begin(model) if first else _state(objects, beside(arrays)), arrays)


def _told(strategy: Strategy, model: Arrays, state: Arrays, arrays: bytes) -> bytes:
    found = strategy.told(model, state)
    return arrays if found.keys() == model.keys() else to_bytes(found)


def _state(objects: ObjectStore, digest: str | None) -> Arrays:
    if digest is None:
        raise ArraysRefused("empty", "the aggregate of the round before names no state of its algorithm")
    return from_bytes(objects.get(digest))
