"""The groups of the people whom a question finds, by each axis.

Somebody can be in several groups of an axis, by several images. To find each person once for each group takes a set of
all such pairs for each axis, of millions of images more memory and time than the question itself. So each image gives
its person a bit for its group, the bits of each person are put together in one pass over the images, for all axes at
once, and people are counted by their bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from wardround.contracts.task import Axis
from wardround.node.cohort.compilation import Compilation
from wardround.node.cohort.meaning import BAND, OLDEST_BAND, PERSON, SEXES, age_band, year_told
from wardround.node.cohort.relation import answered, relation

BITS = 62
"""Groups in one column of 64-bit integers; an axis of more takes several."""
_TOLD = ("modality", "manufacturer")
_STATED: dict[Axis, str] = {"age": "age_years"}
_SEX_NAMES = {number: sex for sex, number in SEXES.items()}
_BANDS = range(OLDEST_BAND // BAND + 1)


@dataclass(frozen=True, slots=True)
class Part:
    """rows: `group` (an integer), and how many `people` have it, `counted` of them in the secret third; names: the
    groups that such an integer stands for, none where nothing is told of it."""

    axis: Axis | None
    rows: Table
    names: Callable[[int], Sequence[str]]


class Breakdown:
    """The groups of one question on one backend.

    Args:
        people: `person_id`, `gender_concept_id` and `counted` (whether in the secret third) of
            whom the question finds, each once.
        used: gives the columns of `image_occurrence` of the images that it uses, or of more people's than those.
    """

    def __init__(self, compiled: Compilation, people: Table, used: Callable[[], Table], backend: BaseBackend) -> None:
        self._compiled, self._people, self._backend = compiled, people, backend
        self._used_images = used

    @cached_property
    def _used(self) -> Table:
        return self._used_images()

    def parts(self, by: Sequence[Axis]) -> list[Part]:
        """First of axis None: one row, of everybody. Then one or more parts for each axis; a group is in one of them.

        The engine is asked at once which groups there are at all, and whether the age at each image is stated.
        """
        columns = self._columns(by)
        everybody = self._people
        if columns:
            # All that is counted is counted from this one part of the query, so that it is found once.
            joined = everybody.left_join(self._marks(by, columns), PERSON)
            kept = [PERSON, "gender_concept_id", "counted"]
            everybody = joined.select(*kept, **{name: joined[name].fill_null(0) for name in columns})
        parts = [Part(None, everybody.agg(group=ibis.literal(0, "int64"), **_sums(everybody)), _nothing)]
        if "sex" in by:
            parts.append(Part("sex", _counts(everybody, everybody.gender_concept_id), _sex))
        if "year" in by:
            parts.append(Part("year", self._years(everybody), _year))
        return parts + [Part(one.axis, _counts(everybody, everybody[name]), one.names) for name, one in columns.items()]

    def _columns(self, by: Sequence[Axis]) -> dict[str, _Column]:
        columns = {}
        groups: dict[Axis, Sequence[Any]] = {"age": _BANDS} if "age" in by else {}
        for axis in by:
            if axis in _TOLD:
                groups[axis] = self._there(axis)
        for axis, values in groups.items():
            for start in range(0, len(values), BITS):
                columns[f"{axis}_{start}"] = _Column(axis, tuple(values[start : start + BITS]))
        return columns

    def _there(self, column: str) -> list[str]:
        every = relation(self._backend, "image_occurrence")
        found = answered(self._backend, every.select(column).distinct())
        return sorted(value for (value,) in found if value is not None)

    def _marks(self, by: Sequence[Axis], columns: dict[str, _Column]) -> Table:
        """`person_id`, each once, and the bits of each of `columns`; 0 where there are none."""
        own = {name for name, one in columns.items() if one.axis in _TOLD}
        rows = []
        if "age" in by and self._compiled.has_index:
            ages = self._compiled.ages(self._used)
            rows.append(_bits_of(ages, columns, dict.fromkeys(columns.keys() - own, ages.age)))
        elif "age" in by:
            if self._is_age_missing():
                ages = self._compiled.ages(self._used.filter(self._used.age_years.isnull()))
                rows.append(_bits_of(ages, columns, dict.fromkeys(columns.keys() - own, ages.age)))
            own = set(columns)
        if own:
            told = {name: _STATED.get(columns[name].axis, columns[name].axis) for name in own}
            rows.append(_bits_of(self._used, columns, {name: self._used[column] for name, column in told.items()}))
        whole = ibis.union(*rows) if len(rows) > 1 else rows[0]
        return whole.group_by(PERSON).agg(**{name: whole[name].bit_or().fill_null(0) for name in columns})

    def _is_age_missing(self) -> bool:
        every = relation(self._backend, "image_occurrence")
        return bool(answered(self._backend, every.filter(every.age_years.isnull()).select(PERSON).limit(1)))

    def _years(self, everybody: Table) -> Table:
        years = self._compiled.years(self._used)
        if years is None:
            raise AssertionError("years are counted from the index event, which the question was found to have")
        joined = everybody.view().join(years.distinct(), PERSON)
        return _counts(joined, joined.year)


@dataclass(frozen=True, slots=True)
class _Column:
    """Some groups of an axis, in the order of their bits."""

    axis: Axis
    groups: tuple[Any, ...]

    def bit(self, value: Any) -> Any:
        """The bit of the group of a column's value; null for none."""
        bits = [ibis.literal(1 << place, "int64") for place in range(len(self.groups))]
        if self.axis == "age":
            # Bounds, as no engine divides whole numbers quickly.
            tests = [
                (value >= BAND * band) & (value < BAND * (band + 1)) if band < _BANDS[-1] else value >= OLDEST_BAND
                for band in self.groups
            ]
        else:
            tests = [value == group for group in self.groups]
        return ibis.cases(*zip(tests, bits, strict=True))

    def names(self, bits: int) -> list[str]:
        met = [group for place, group in enumerate(self.groups) if bits >> place & 1]
        return [age_band(BAND * group) for group in met] if self.axis == "age" else met


def _nothing(_group: int) -> list[str]:
    return []


def _year(number: int) -> list[str]:
    return [year_told(number)]


def _sex(concept: int) -> list[str]:
    return [_SEX_NAMES[concept]] if concept in _SEX_NAMES else []


def _bits_of(rows: Table, columns: dict[str, _Column], values: dict[str, Any]) -> Table:
    """`person_id` and the bits of `columns`: 0 in those of which there is no value here."""
    nothing = ibis.literal(0, "int64")
    bits = {name: one.bit(values[name]) if name in values else nothing for name, one in columns.items()}
    return rows.select(PERSON, **bits)


def _counts(rows: Table, group: Any) -> Table:
    return rows.group_by(group=group.cast("int64")).agg(**_sums(rows))


def _sums(rows: Table) -> dict[str, Any]:
    return {"people": rows.count(), "counted": rows.counted.sum().fill_null(0).cast("int64")}
