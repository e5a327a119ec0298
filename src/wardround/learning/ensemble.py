"""Several models of one network as one: what each says, averaged.

An ensemble's prediction is the mean of its members' probabilities (Lakshminarayanan, Pritzel, Blundell: Simple and
scalable predictive uncertainty estimation using deep ensembles, NeurIPS 2017), or of what they tell where that is a
number. Its arrays are those of all members in one file, each under `members.<place>.`, places from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

from wardround.learning.arrays import Arrays, ArraysRefused, check

LARGEST = 64
"""So many members at most: each costs one model's memory and time wherever the ensemble is used."""
_NAME = re.compile(r"members\.(0|[1-9][0-9]?)\.(.+)")


def bundled(models: Iterable[Arrays]) -> Arrays:
    """The arrays of an ensemble.

    Raises:
        ArraysRefused: they aren't of one network, a value isn't finite, there is none (`empty`), or there are more
            than `LARGEST` (`wrong-names`).
    """
    found: Arrays = {}
    first: Arrays | None = None
    for place, arrays in enumerate(models):
        if place == LARGEST:
            raise ArraysRefused("wrong-names", f"an ensemble has {LARGEST} members at most")
        first = arrays if first is None else first
        check(arrays, like=first)
        found |= {f"members.{place}.{name}": array for name, array in arrays.items()}
    if first is None:
        raise ArraysRefused("empty", "there is no model for an ensemble")
    return found


def members_of(names: Set[str]) -> int:
    """How many members the arrays of these names are of; 1 where they are a model's own.

    Raises:
        ArraysRefused: `wrong-names`, they are those of an ensemble in part, or of one of more than `LARGEST`.
    """
    found = [_NAME.fullmatch(name) for name in names]
    if not any(found):
        return 1
    parts: dict[int, set[str]] = {}
    for match in found:
        if match is None:
            raise ArraysRefused("wrong-names", "some of these arrays are of an ensemble's members, and some aren't")
        parts.setdefault(int(match[1]), set()).add(match[2])
    if sorted(parts) != list(range(len(parts))) or any(one != parts[0] for one in parts.values()):
        raise ArraysRefused("wrong-names", "the members of this ensemble aren't all there, or not all of one network")
    if len(parts) > LARGEST:
        raise ArraysRefused("wrong-names", f"an ensemble has {LARGEST} members at most")
    return len(parts)
