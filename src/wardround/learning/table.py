"""People as rows of numbers, and how a package brings these to its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.learning.fact import Fact, Target, finite

MOST_COLUMNS = 1000


@dataclass(frozen=True, eq=False)
class Row:
    """One person as a node trains on them.

    name: a pseudonym. values: float64, one for each column of the package, NaN where it isn't known. target: see
    `Target`; empty where it isn't known. rank: see `Example`.
    """

    name: str
    values: NDArray[np.float64] = field(repr=False)
    target: tuple[float, ...] = field(default=(), repr=False)
    rank: float = field(default=0.0, repr=False)

    @property
    def labelled(self) -> bool:
        return bool(self.target)


@dataclass(frozen=True)
class Column:
    """A fact, and what is taken off it and what it is divided by: the package's own, the same at every site."""

    name: str
    fact: Fact
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class TablePreparation:
    """Which facts enter the network, in order. What isn't known enters as 0, which is the mean; with `tell_unknown` as
    many inputs follow, 1 where the column isn't known and 0 where it is."""

    columns: tuple[Column, ...]
    tell_unknown: bool = False

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TablePreparation:
        """From the `preparation` of a bundle. Raises `ValueError` where it isn't one."""
        if unknown := sorted(values.keys() - {"kind", "columns", "tell_unknown"}):
            raise ValueError(f"preparation holds unknown names: {', '.join(unknown)}")
        told, listed = values.get("tell_unknown", False), values.get("columns")
        if not isinstance(told, bool) or not isinstance(listed, list) or not 0 < len(listed) <= MOST_COLUMNS:
            raise ValueError(f"preparation has 1 to {MOST_COLUMNS} columns, and tell_unknown is true or false")
        return cls(tuple(_column(one) for one in listed), told)

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(column.fact for column in self.columns)

    @property
    def inputs(self) -> int:
        return len(self.columns) * (2 if self.tell_unknown else 1)

    def prepare(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """A row's values as they enter the network, float32 (inputs,)."""
        unknown = np.isnan(values)
        mean = np.array([column.mean for column in self.columns])
        scale = np.array([column.scale for column in self.columns])
        known = np.where(unknown, 0.0, (values - mean) / scale)
        return np.asarray(np.concatenate([known, unknown]) if self.tell_unknown else known, np.float32)


def rows_of(
    names: Sequence[str], values: NDArray[np.float64], targets: Sequence[tuple[float, ...]], target: Target
) -> list[Row]:
    """Rows of a table (people, columns), with what is known of each one's target."""
    return [
        Row(name, own, found, target.rank(found) if found else 0.0)
        for name, own, found in zip(names, values, targets, strict=True)
    ]


def _column(values: Any) -> Column:
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise ValueError("a column is not an object with a name")
    if unknown := sorted(values.keys() - {"name", "fact", "mean", "scale"}):
        raise ValueError(f"the column {values['name']} holds unknown names: {', '.join(unknown)}")
    mean, scale = finite(values.get("mean", 0.0), "mean"), finite(values.get("scale", 1.0), "scale")
    if scale <= 0:
        raise ValueError(f"the scale of the column {values['name']} isn't above 0")
    return Column(values["name"], Fact.from_mapping(values.get("fact")), mean, scale)
