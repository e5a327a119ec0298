"""What the peers of `rounds.py` share: the model, what a site makes of it, and how a process reports."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.float32]]
LAYERS = 10
LARGE = 1000
"""Megabytes from which on a model's arrays are one and the same in memory, and go to files an array at a time."""


@dataclass(frozen=True)
class Setting:
    """`megabytes`: of the model's float32 weights; 0 is a model of 40 weights."""

    megabytes: int
    rounds: int
    sites: tuple[str, ...] = ("site-a", "site-b", "site-c", "site-d")

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Setting:
        values = json.loads(text)
        return cls(values["megabytes"], values["rounds"], tuple(values["sites"]))


def model_of(megabytes: int) -> Arrays:
    """Weights as a network begins with: small, normal, in ten arrays."""
    size = max(4, megabytes * 1_000_000 // 4 // LAYERS)
    numbers = np.random.default_rng(7)
    names = [f"layer{one}.weight" for one in range(LAYERS)]
    if megabytes >= LARGE:
        return dict.fromkeys(names, numbers.standard_normal(size, np.float32) * np.float32(0.05))
    return {name: numbers.standard_normal(size, np.float32) * np.float32(0.05) for name in names}


def changed(model: Arrays, seed: int) -> Arrays:
    """What a round's training leaves of a model: every weight a little moved."""
    numbers = np.random.default_rng(seed)
    return {
        name: array + numbers.standard_normal(array.shape, np.float32) * np.float32(1e-3)
        for name, array in model.items()
    }


def told(what: str, **more: Any) -> None:
    """A line to the benchmark."""
    print(json.dumps({"what": what, **more}), flush=True)
