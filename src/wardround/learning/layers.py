"""Which arrays of one network travel in a run, which stay at each site, and which nobody trains.

FedBN (Li, Jiang, Zhang, Kamp, Dou: FedBN: Federated Learning on Non-IID Features via Local Batch Normalization, ICLR
2021) is averaging with every normalisation layer kept at home. Those are found by their kind, not by their name: what
a network calls them is its author's choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.algorithm import FedBN
from wardround.contracts.run_plan import RunPlan
from wardround.learning.arrays import Arrays, ArraysRefused


@dataclass(frozen=True)
class Sharing:
    """The names of a network's arrays, each in exactly one of the three."""

    travelling: frozenset[str]
    at_home: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()

    def travelling_of(self, arrays: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """What of a whole model leaves and is averaged."""
        return {name: arrays[name] for name in sorted(self.travelling)}

    def at_home_of(self, arrays: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """What of a whole model its site keeps to itself."""
        return {name: arrays[name] for name in sorted(self.at_home)}


def sharing(names: Set[str], normalisation: Set[str], plan: RunPlan) -> Sharing:
    """How a plan parts the arrays `names` of a network, of which `normalisation` belong to such layers.

    Raises:
        ArraysRefused: `wrong-names`, a pattern names nothing, an array is named for both, or nothing would travel.
    """
    at_home, frozen = named(names, plan.layers.at_home), named(names, plan.layers.frozen)
    if both := sorted(at_home & frozen):
        raise ArraysRefused("wrong-names", f"{both[0]} is named both as staying at home and as frozen; choose one")
    if isinstance(plan.algorithm, FedBN):
        if not normalisation:
            raise ArraysRefused("wrong-names", "this network has no normalisation layer; take fedavg for fedbn")
        at_home |= normalisation - frozen
    travelling = frozenset(names) - at_home - frozen
    if not travelling:
        raise ArraysRefused("wrong-names", "the plan's layers leave no array that travels, so nothing can be averaged")
    return Sharing(travelling, frozenset(at_home), frozenset(frozen))


def named(names: Set[str], patterns: tuple[str, ...]) -> set[str]:
    """Those of `names` that the patterns name. Raises `ArraysRefused` (`wrong-names`) where one names nothing."""
    found = set[str]()
    for pattern in patterns:
        matching = {name for name in names if fnmatchcase(name, pattern)}
        if not matching:
            raise ArraysRefused("wrong-names", f"no array of this network is named {pattern}; correct the plan")
        found |= matching
    return found
