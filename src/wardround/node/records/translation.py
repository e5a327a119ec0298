"""From what a reader says to what is kept: shifted dates, concepts, keyed numbers; or the reason why not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from types import MappingProxyType

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.keys import RecordKeys
from wardround.node.records.people import Whom
from wardround.node.records.reasons import Reason
from wardround.node.records.report import LONGEST_PLACE
from wardround.node.records.row import Code, Row, Value
from wardround.node.records.schema import (
    MAIN,
    PERSON,
    RECORDS,
    REFERENCES,
    TABLES,
    Column,
    Table,
    Type,
    source_columns,
)
from wardround.node.records.vocabulary import Vocabulary

EARLIEST = 1800
"""The year before which a date is taken for a placeholder."""
MIDYEAR = (7, 1)
"""What stands for the day of a birth of which the year alone is known, when it is shifted."""
MIDMONTH = 15

_CONCEPT, _OWN, _TEXT = "_concept_id", "_source_concept_id", "_source_value"
_CODE = re.compile(r"[!-~]{1,60}")
_VOCABULARY = re.compile(r"[!-~]([ -~]{0,58}[!-~])?")
_INTEGERS = 1 << 31
END: Mapping[str, str] = MappingProxyType(
    {
        "observation_period": "observation_period_end_date",
        "visit_occurrence": "visit_end_date",
        "condition_occurrence": "condition_end_date",
        "procedure_occurrence": "procedure_end_date",
        "drug_exposure": "drug_exposure_end_date",
    }
)
STAGED_ALSO = (
    Column("seq", Type.BIGINT, required=True),
    Column("gone", Type.BOOLEAN, required=True),
    Column("place", Type.TEXT, required=True),
)
"""Beside a table's own columns: the order of reading, whether the row takes a record back, and where it is."""


def staged(table: Table) -> tuple[Column, ...]:
    """The columns of a table as it is staged."""
    return (*(column for column in table.columns if column.kept and column.name != "origin"), *STAGED_ALSO)


class NotKept(Exception):
    """A record that isn't taken in."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Translation:
    """For one load of one source.

    Args:
        today: the last day that isn't in the future.
    """

    keys: RecordKeys
    source: str
    vocabulary: Vocabulary
    today: date

    def codes(self, row: Row) -> Iterator[Code]:
        """The codes that `row` names, for `Vocabulary.learn`."""
        for value in row.values.values():
            if isinstance(value, Code):
                yield value
            elif isinstance(value, tuple):
                yield from value

    def concepts(self, row: Row) -> Iterator[int]:
        """The concepts that `row` names by their number and that have to be known."""
        value = row.values.get(MAIN.get(row.table, ""))
        if isinstance(value, int):
            yield value

    def kept(self, row: Row, whom: Whom, seq: int) -> tuple[dict[str, object], bool]:
        """The staged columns of a row, and whether the vocabulary lacks its main code.

        Raises:
            NotKept: it isn't taken in.
            RecordsRefused: it has a table or a column that no source may fill.
        """
        if row.table not in RECORDS:
            raise RecordsRefused(f"'{row.table}' isn't a table that a source of records may fill; mend the mapping")
        table = TABLES[row.table]
        made: dict[str, object] = dict(_blank(row.table))
        made |= {table.key[0]: self.keys.record(self.source, row.table, row.key), "person_id": whom.person_id}
        made |= {"seq": seq, "gone": row.removed, "place": row.where[:LONGEST_PLACE]}
        if row.table == PERSON:
            made["person_source_value"] = whom.pseudonym
        if row.removed:
            return made, False
        self._check_day(table, row)
        values = dict(row.values)
        if row.table == PERSON:
            made |= _birth(values, whom.days, self.today)
        for name, value in values.items():
            if value is not None:
                self._fill(table, made, name, value, whom.days)
        unmapped = self._check(table, made)
        return made, unmapped

    def _fill(self, table: Table, made: dict[str, object], name: str, value: Value, days: int) -> None:
        column = _column(table.name, name)
        if name in REFERENCES and name != table.key[0]:
            made[name] = self.keys.record(self.source, REFERENCES[name], str(value))
        elif isinstance(value, Code | tuple):
            self._mean(table, made, name, (value,) if isinstance(value, Code) else value)
        elif column.type in (Type.DATE, Type.TIMESTAMP):
            made[name] = _shifted(column.type, value, days)
        elif column.type is Type.FLOAT:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise NotKept(Reason.BAD_VALUE)
            made[name] = float(value)
        elif column.type is Type.INTEGER:
            made[name] = _integer(value)
        else:
            raise RecordsRefused(f"'{table.name}.{name}' isn't a column that a source may fill; mend the mapping")

    def _mean(self, table: Table, made: dict[str, object], name: str, codes: tuple[Code, ...]) -> None:
        if not all(_CODE.fullmatch(code.code) and _VOCABULARY.fullmatch(code.vocabulary) for code in codes):
            raise NotKept(Reason.BAD_CODE)
        if not codes:
            return
        if name.endswith(_TEXT):
            made[name] = str(codes[0])
            return
        meanings = [(code, self.vocabulary.meaning(code)) for code in codes]
        code, meaning = min(meanings, key=lambda one: (not one[1].standard, not one[1].own))
        made[name] = meaning.standard
        said, own = _sources(table.name, name)
        if said is not None:
            made[said] = str(code)
        if own is not None:
            made[own] = meaning.own

    def _check(self, table: Table, made: dict[str, object]) -> bool:
        day = table.date
        if day is not None:
            start = made[day]
            if start is None:
                stamp = made.get(f"{day.removesuffix('_date')}_datetime")
                if not isinstance(stamp, datetime):
                    raise NotKept(Reason.NO_DATE)
                start = made[day] = stamp.date()
            end = made.get(END.get(table.name, ""))
            if isinstance(end, date) and isinstance(start, date) and end < start:
                raise NotKept(Reason.ENDS_BEFORE_START)
        main = MAIN.get(table.name)
        if main is None:
            return False
        concept, code = made[main], made[main.removesuffix(_CONCEPT) + _TEXT]
        own = made[main.removesuffix(_CONCEPT) + _OWN]
        if not concept and code is None and not own:
            raise NotKept(Reason.NO_CODE)
        if code is None and isinstance(concept, int) and not self.vocabulary.has(concept):
            raise NotKept(Reason.UNKNOWN_CONCEPT)
        return self.vocabulary.loaded and not concept

    def _check_day(self, table: Table, row: Row) -> None:
        """Raises NotKept for an event that lies in the future, before any shift."""
        day = table.date
        if day is None:
            return
        value = row.values.get(day) or row.values.get(f"{day.removesuffix('_date')}_datetime")
        if isinstance(value, date) and _day(value) > self.today:
            raise NotKept(Reason.FUTURE_DATE)


@cache
def _blank(name: str) -> Mapping[str, object]:
    """A staged row of a table that says nothing yet."""
    table = TABLES[name]
    zeros = {column.name: 0 for column in table.columns if column.required and column.name.endswith(_CONCEPT)}
    return MappingProxyType({column.name: zeros.get(column.name) for column in staged(table)})


@cache
def _sources(name: str, concept: str) -> tuple[str | None, str | None]:
    return source_columns(TABLES[name], concept)


@cache
def _column(table: str, name: str) -> Column:
    try:
        column = TABLES[table].column(name)
    except KeyError:
        column = None
    ours = {"person_id", "origin", TABLES[table].key[0], "person_source_value"}
    if column is None or not column.kept or name in ours:
        raise RecordsRefused(f"'{table}.{name}' isn't a column that a source may fill; mend the mapping")
    return column


def _birth(values: dict[str, Value], days: int, today: date) -> dict[str, object]:
    """The shifted columns of a birth, taken out of `values`.

    Of a birth in part the middle is shifted, so that its year may be off by one (or its month), which OMOP can't say.
    """
    whole = values.pop("birth_datetime", None)
    year, month, day = (values.pop(f"{part}_of_birth", None) for part in ("year", "month", "day"))
    if whole is not None:
        if not isinstance(whole, date):
            raise NotKept(Reason.BAD_VALUE)
        if _day(whole) > today:
            raise NotKept(Reason.FUTURE_DATE)
        moved = _shifted(Type.TIMESTAMP, whole, days)
        return {
            "birth_datetime": moved,
            "year_of_birth": moved.year,
            "month_of_birth": moved.month,
            "day_of_birth": moved.day,
        }
    if year is None:
        return {}
    parts = [_integer(part) if part is not None else None for part in (year, month, day)]
    first = MIDYEAR if parts[1] is None else (parts[1], parts[2] or MIDMONTH)
    try:
        middle = date(parts[0] or 0, *first)
    except ValueError:
        raise NotKept(Reason.BAD_DATE) from None
    if middle.year > today.year:
        raise NotKept(Reason.FUTURE_DATE)
    moved = _shifted(Type.DATE, middle, days)
    return {
        "year_of_birth": moved.year,
        "month_of_birth": None if parts[1] is None else moved.month,
        "day_of_birth": None if parts[1] is None or parts[2] is None else moved.day,
    }


def _shifted(kind: Type, value: Value, days: int) -> date:
    """`value`, moved: a date for a DATE, a datetime without a zone, the clock on the wall's, for a TIMESTAMP."""
    if not isinstance(value, date):
        raise NotKept(Reason.BAD_DATE)
    if value.year < EARLIEST:
        raise NotKept(Reason.BAD_DATE)
    if kind is Type.DATE:
        return _day(value) + timedelta(days=days)
    stamp = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    return stamp.replace(tzinfo=None) + timedelta(days=days)


def _day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value


def _integer(value: Value) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -_INTEGERS <= value < _INTEGERS:
        raise NotKept(Reason.BAD_VALUE)
    return value
