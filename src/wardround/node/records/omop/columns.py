"""A row of an OMOP table, text by text, as the values of a record.

Source: OHDSI, Common Data Model 5.4. Concepts that are numbers stay numbers. The text of a `*_source_value` isn't
taken, since it may be anything; the code that the source concept stands for is, where the table `concept` is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

from wardround.node.records.hl7.values import NotTaken
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, Value
from wardround.node.records.schema import PERSON, REFERENCES, TABLES, Column, Type
from wardround.node.records.tabular.cells import moment, number, whole

_INTEGER = 1 << 31
_OURS = frozenset({"origin", "person_id", "person_source_value"})
_OWN = re.compile(r"(.+)_source_concept_id")
_OPTIONAL = ("_type_concept_id", "_source_concept_id")


class Columns:
    """How the rows of one table are read. needed: columns that have to be there; known: all that are of the table.

    A concept of a type, a sex, a race or an ethnicity that isn't there is none; what else OMOP requires is required.
    """

    def __init__(self, table: str) -> None:
        spec = TABLES[table]
        self.table = table
        self.key = None if table == "death" else f"{table}_id"
        self.known = frozenset(spec.names) - {"origin"}
        self._readers: dict[str, Callable[[str], Value]] = {
            column.name: _reader(column)
            for column in spec.columns
            if column.kept and column.name not in _OURS | {self.key} and not column.name.endswith("_source_value")
        }
        required = [
            column.name
            for column in spec.columns
            if column.required and column.name in self._readers and not column.name.endswith(_OPTIONAL)
        ]
        self._required = ["year_of_birth"] if table == PERSON else required
        self._own = {
            name: f"{found[1]}_source_value"
            for name in self._readers
            if (found := _OWN.fullmatch(name)) and f"{found[1]}_source_value" in spec.names
        }
        self.needed = ["person_id", *([self.key] if self.key and table != PERSON else []), *self._required]
        self.wanted = sorted({*self.needed, *self._readers, "person_source_value"})

    def values(
        self, cells: Mapping[str, str], missing: frozenset[str], code_of: Callable[[int], Code | None]
    ) -> dict[str, Value]:
        """The values of a row; raises NotTaken. code_of: the code that a concept is of its vocabulary, if known."""
        values: dict[str, Value] = {}
        for name, read in self._readers.items():
            text = cells.get(name, "").strip()
            if text not in missing:
                values[name] = read(text)
        for name in self._required:
            if name not in values:
                raise NotTaken(_lacking(self.table, name), name)
        for own, said in self._own.items():
            concept = values.get(own)
            code = code_of(concept) if isinstance(concept, int) and concept else None
            if code is not None:
                values[said] = code
        return _born(values) if self.table == PERSON else values


def _lacking(table: str, name: str) -> Reason:
    if name.endswith("_date"):
        return Reason.NO_DATE
    if name.endswith("_concept_id"):
        return Reason.NO_CODE
    return Reason.BAD_VALUE if table == PERSON else Reason.MALFORMED


def _reader(column: Column) -> Callable[[str], Value]:
    name = column.name
    if name in REFERENCES:
        return lambda text: str(_whole(text, name, Reason.BAD_VALUE, 1 << 63))
    if name.endswith("_concept_id"):
        return lambda text: _whole(text, name, Reason.BAD_CODE, _INTEGER)
    if column.type is Type.FLOAT:
        return lambda text: _number(text, name)
    if column.type in (Type.DATE, Type.TIMESTAMP):
        return lambda text: _day(text, name, timed=column.type is Type.TIMESTAMP)
    return lambda text: _whole(text, name, Reason.BAD_VALUE, _INTEGER)


def _whole(text: str, name: str, reason: Reason, limit: int) -> int:
    found = whole(text)
    if found is None or not -limit <= found < limit or (found < 0 and reason is Reason.BAD_CODE):
        raise NotTaken(reason, name)
    return found


def _number(text: str, name: str) -> float:
    found = number(text)
    if found is None:
        raise NotTaken(Reason.BAD_VALUE, name)
    return found


def _day(text: str, name: str, *, timed: bool) -> date | datetime:
    found = moment(text)
    if found is None or found.whole is None:
        raise NotTaken(Reason.BAD_DATE, name)
    return (found.at or datetime.combine(found.whole, time())) if timed else found.whole


def _born(values: dict[str, Value]) -> dict[str, Value]:
    """The birth as one date, where it is whole; its parts agree with it then."""
    parts: list[Any] = [values.get(f"{part}_of_birth") for part in ("year", "month", "day")]
    try:
        day = date(parts[0], parts[1] or 1, parts[2] or 1)
    except (ValueError, OverflowError):
        raise NotTaken(Reason.BAD_DATE, "of the birth") from None
    said = values.pop("birth_datetime", None)
    if parts[1] is None:
        values.pop("day_of_birth", None)
    if isinstance(said, date):
        if said.year != day.year or (parts[1] is not None and said.month != day.month):
            raise NotTaken(Reason.BAD_DATE, "of the birth: its parts differ from birth_datetime")
    elif parts[1] is not None and parts[2] is not None:
        said = day
    if said is None:
        return values
    return {name: value for name, value in values.items() if not name.endswith("_of_birth")} | {"birth_datetime": said}
