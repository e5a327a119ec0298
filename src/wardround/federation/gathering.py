"""What a round makes of its updates, a block of values at a time: memory doesn't grow with the number of sites, nor
with the model.

An update is unpacked and looked at whole when it comes, and lies on disk as it came until the round closes. Only then
are the admitted ones put together (FedAvg, McMahan et al. 2017, or the plan's robust rule), block by block, and
site by site in the order of their names: what comes out doesn't depend on the order in which they came, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.robust import MultiKrum, NormBound, Robust
from wardround.federation.spool import Spool, discard
from wardround.foundation.stored import Held
from wardround.learning.arrays import ArraysRefused, blocks, from_bytes, header_of
from wardround.learning.robust import average_of
from wardround.learning.wire import BLOCK, arrays_of, unpacked

STRETCH = 8 * 1024
"""So many values are squared at a time. Of more than 10,000 the linear algebra library would make threads, whose start
takes longer than the sum, and much longer on a busy machine."""

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """One site's update as it came, and how far it is from the model, as a Euclidean norm."""

    update: Held
    change: float


@dataclass(frozen=True)
class Gathered:
    """What one site gave, and its weight."""

    update: Held
    change: float
    weight: float


class Gathering:
    """The updates of one round. `given`: the round's weights in safetensors bytes; with `delta` updates are changes of
    them.

    Weights in a file are read a block at a time wherever a block is enough: mapped pages would be held by this process.
    """

    def __init__(self, given: Held, *, delta: bool, robust: Robust | None, spool: Spool) -> None:
        self._given = given
        self._model = from_bytes(given)
        self._delta = delta
        self._robust = robust
        self._spool = spool
        self._size = sum(array.size for array in self._model.values())
        self._updates: dict[str, Gathered] = {}

    def sound(self, update: Held) -> Sound:
        """An update of which all was looked at: it is of this model, and finite. Raises `ArraysRefused`."""
        squares = 0.0
        if self._delta:
            for block in unpacked(update, self._model):
                squares += _squares(block, None)
        else:
            for block, before in zip(unpacked(update, self._model), self._before(), strict=True):
                squares += _squares(block, before)
        return Sound(update, math.sqrt(squares))

    def add(self, site: str, sound: Sound, weight: float) -> None:
        """Take an admitted update in; a file that it lies in is removed when the round closes."""
        self._updates[site] = Gathered(sound.update, sound.change, weight)

    def leave_out_far(self, times: float) -> list[str]:
        """Leave out the updates that change the model more than `times` as much as the middle one does; their sites.

        Of fewer than three nobody can tell which is the odd one, and none is left out.
        """
        changes = [gathered.change for gathered in self._updates.values()]
        if len(changes) < 3:
            return []
        middle = float(np.median(changes))
        far = sorted(site for site, gathered in self._updates.items() if gathered.change > times * middle)
        for site in far:
            discard(self._updates.pop(site).update)
        return far

    def aggregate(self) -> Held:
        """The model after this round, in safetensors bytes. Raises `ArraysRefused`: `not-finite`, or `empty`."""
        header = header_of({name: array.shape for name, array in self._model.items()})
        try:
            return self._spool.keep(self._written(header), len(header) + 4 * self._size)
        finally:
            self.close()

    def _written(self, header: bytes) -> Iterator[bytes | memoryview]:
        yield header
        yield from map(_bytes, self._blocks())

    def close(self) -> None:
        """Remove what is kept of the updates."""
        for gathered in self._updates.values():
            discard(gathered.update)
        self._updates.clear()

    def _before(self) -> Iterator[Values]:
        """The round's weights, a block at a time."""
        return unpacked(self._given, self._model)

    def _zeros(self) -> Iterator[Values]:
        for start in range(0, self._size, BLOCK):
            yield np.zeros(min(BLOCK, self._size - start), np.float32)

    def _blocks(self) -> Iterator[Values]:
        whole = isinstance(self._robust, NormBound | MultiKrum)
        made = self._made_of_whole_updates() if whole else self._made_of_blocks()
        for before, block in zip(self._before(), made, strict=True):
            with np.errstate(over="ignore"):  # what doesn't fit float32 is refused below
                after = before + block if self._delta else block
            if not np.isfinite(after).all():
                raise ArraysRefused("not-finite", "the aggregate doesn't fit float32")
            yield after

    def _made_of_blocks(self) -> Iterator[Values]:
        """By a rule that looks at each value alone."""
        values = {site: unpacked(self._updates[site].update, self._model) for site in sorted(self._updates)}
        began = self._zeros() if self._delta else self._before()
        for before in began:
            average = average_of(self._robust, {"": before})
            for site, blocks_of in values.items():
                average.add({"": next(blocks_of)}, self._updates[site].weight)
            yield average.result()[""]

    def _made_of_whole_updates(self) -> Iterator[Values]:
        """By a rule that needs the norm of each update, or how far two are apart."""
        began = {name: np.zeros_like(array) for name, array in self._model.items()} if self._delta else self._model
        average = average_of(self._robust, began)
        for site in sorted(self._updates):
            gathered = self._updates[site]
            average.add(arrays_of(gathered.update, self._model), gathered.weight)
        yield from blocks(average.result(), BLOCK)


def check_sound(given: Held) -> None:
    """Look at all of a model, a block at a time. Raises `ArraysRefused`."""
    for _ in unpacked(given, from_bytes(given)):
        pass


def _squares(values: Values, before: Values | None) -> float:
    """The sum of the squares of `values` - `before` in float64; `before`: None for zeros."""
    found = 0.0
    for start in range(0, values.size, STRETCH):
        change = values[start : start + STRETCH].astype(np.float64)
        if before is not None:
            change -= before[start : start + STRETCH]
        found += float(np.dot(change, change))
    return found


def _bytes(values: Values) -> memoryview:
    return np.ascontiguousarray(values, "<f4").data.cast("B")
