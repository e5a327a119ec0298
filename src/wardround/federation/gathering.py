"""What a round makes of its updates, a block of values at a time: memory doesn't grow with the number of sites, nor
with the model.

An update is unpacked and looked at whole when it comes, and lies on disk as plain values until the round closes. Only
then are the admitted ones put together (FedAvg, McMahan et al. 2017, or the plan's robust rule), block by block, and
site by site in the order of their names: what comes out doesn't depend on the order in which they came, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.robust import MultiKrum, NormBound, Robust
from wardround.federation.spool import Spool, discard
from wardround.foundation.stored import Held, Stored, view
from wardround.learning.arrays import Arrays, ArraysRefused, blocks, header_of
from wardround.learning.robust import average_of
from wardround.learning.wire import BLOCK, unpacked

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """One site's values, one after the other, and how far they are from the model, as a Euclidean norm."""

    values: Held
    change: float


@dataclass(frozen=True)
class Gathered:
    """What one site gave, and its weight."""

    values: Held
    change: float
    weight: float


class Gathering:
    """The updates of one round. `model`: the round's weights; with `delta` updates are changes of them."""

    def __init__(self, model: Arrays, *, delta: bool, robust: Robust | None, spool: Spool) -> None:
        self._model = model
        self._delta = delta
        self._robust = robust
        self._spool = spool
        self._size = sum(array.size for array in model.values())
        self._updates: dict[str, Gathered] = {}

    def sound(self, update: Held) -> Sound:
        """The values of an update that is of this model and finite, ready for `add`. Raises `ArraysRefused`."""
        squares = 0.0

        def measured() -> Iterator[memoryview]:
            nonlocal squares
            for block, before in zip(unpacked(update, self._model), blocks(self._model, BLOCK), strict=True):
                change = block.astype(np.float64) if self._delta else block.astype(np.float64) - before
                squares += float(np.dot(change, change))
                yield _bytes(block)

        return Sound(self._spool.keep(measured(), 4 * self._size), math.sqrt(squares))

    def add(self, site: str, sound: Sound, weight: float) -> None:
        """Take an admitted update in."""
        self._updates[site] = Gathered(sound.values, sound.change, weight)

    def leave_out_far(self, times: float) -> list[str]:
        """Leave out the updates that change the model more than `times` as much as the middle one does; their sites.

        Of fewer than three nobody can tell which is the odd one, and none is left out.
        """
        changes = sorted(gathered.change for gathered in self._updates.values())
        if len(changes) < 3:
            return []
        middle = changes[(len(changes) - 1) // 2]
        far = sorted(site for site, gathered in self._updates.items() if gathered.change > times * middle)
        for site in far:
            discard(self._updates.pop(site).values)
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
            discard(gathered.values)
        self._updates.clear()

    def _blocks(self) -> Iterator[Values]:
        whole = isinstance(self._robust, NormBound | MultiKrum)
        made = self._made_of_whole_updates() if whole else self._made_of_blocks()
        for before, block in zip(blocks(self._model, BLOCK), made, strict=True):
            with np.errstate(over="ignore"):  # what doesn't fit float32 is refused below
                after = before + block if self._delta else block
            if not np.isfinite(after).all():
                raise ArraysRefused("not-finite", "the aggregate doesn't fit float32")
            yield after

    def _made_of_blocks(self) -> Iterator[Values]:
        """By a rule that looks at each value alone."""
        files = {site: _reading(self._updates[site].values) for site in sorted(self._updates)}
        for before in blocks(self._model, BLOCK):
            average = average_of(self._robust, {"": np.zeros_like(before) if self._delta else before})
            for site, file in files.items():
                average.add({"": next(file)}, self._updates[site].weight)
            yield average.result()[""]

    def _made_of_whole_updates(self) -> Iterator[Values]:
        """By a rule that needs the norm of each update, or how far two are apart."""
        began = {name: np.zeros_like(array) for name, array in self._model.items()} if self._delta else self._model
        average = average_of(self._robust, began)
        for site in sorted(self._updates):
            average.add(self._arrays(self._updates[site].values), self._updates[site].weight)
        yield from blocks(average.result(), BLOCK)

    def _arrays(self, values: Held) -> Mapping[str, Values]:
        flat = np.frombuffer(view(values), "<f4")
        arrays: Arrays = {}
        start = 0
        for name in sorted(self._model):
            array = self._model[name]
            arrays[name] = flat[start : start + array.size].reshape(array.shape)
            start += array.size
        return arrays


def _bytes(values: Values) -> memoryview:
    return np.ascontiguousarray(values, "<f4").data.cast("B")


def _reading(values: Held) -> Iterator[Values]:
    """Block by block; a file is read, not mapped, so that no memory is held for it."""
    if not isinstance(values, Stored):
        yield from np.split(np.frombuffer(values, "<f4"), range(BLOCK, len(values) // 4, BLOCK))
        return
    with values.path.open("rb", buffering=0) as file:
        for start in range(0, values.size, 4 * BLOCK):
            wanted = min(4 * BLOCK, values.size - start)
            block = np.fromfile(file, "<f4", wanted // 4)
            if block.nbytes != wanted:
                raise OSError("what was kept of an update ends early")
            yield block
