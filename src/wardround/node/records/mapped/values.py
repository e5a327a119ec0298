"""What cells say by a mapping: dates, births, sexes, codes, numbers and units; or NotTaken."""

from __future__ import annotations

import re
from collections.abc import Mapping as Cells
from collections.abc import Sequence
from datetime import timedelta

from wardround.node.records.hl7.moments import Moment
from wardround.node.records.hl7.values import NotTaken, birth
from wardround.node.records.hl7.vocabularies import COMPARATORS
from wardround.node.records.mapped.field import Cell
from wardround.node.records.mapped.mapping import AgeFrom, Day, Person, Record, SexFrom, When
from wardround.node.records.mapped.template import Template
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, Value
from wardround.node.records.schema import FEMALE, MALE, NO_CONCEPT, OTHER_SEX
from wardround.node.records.tabular.cells import code as plain_code
from wardround.node.records.tabular.cells import number

_YEAR = 365.2425
"""Days of a year, on average."""
_OLDEST = 130
_BOUNDED = re.compile(r"(<=|>=|<|>)\s*(.+)", re.DOTALL)


def holds(when: When, cells: Cells[str, str], decimal: str) -> bool:
    """Whether a row gives a record; one that says nothing there doesn't. Raises NotTaken for what is no number."""
    cell = cells.get(when.column)
    if cell is None:
        return False
    if when.equals is not None and not any(_same(one, cell, decimal) for one in when.equals):
        return False
    if when.above is None and when.below is None:
        return True
    found = number(cell, decimal)
    if found is None:
        raise NotTaken(Reason.BAD_VALUE, when.column)
    return (when.above is None or found > when.above) and (when.below is None or found < when.below)


def _same(one: Cell, cell: str, decimal: str) -> bool:
    return one == cell if isinstance(one, str) else number(cell, decimal) == one


def moment(day: Day, cells: Cells[str, str]) -> Moment | None:
    """The date of a row, None where it says none. Raises NotTaken for what isn't a date."""
    if day.from_ is None:
        return None if day.on is None else Moment(day.on.year, day.on.month, day.on.day)
    said = day.from_.fill(cells)
    if said is None:
        return None
    found = day.format.read(said)
    if found is None:
        raise NotTaken(Reason.BAD_DATE, day.from_.text)
    return found


def born(person: Person, default: Day | None, cells: Cells[str, str], decimal: str) -> dict[str, Value]:
    """The columns of the birth, none where nothing says it; raises NotTaken."""
    if person.birth is not None:
        found = moment(person.birth, cells)
        return {} if found is None else birth(found)
    if person.age is None:
        return {}
    return _aged(person.age, default, cells, decimal)


def _aged(age: AgeFrom, default: Day | None, cells: Cells[str, str], decimal: str) -> dict[str, Value]:
    """Someone of 63 on a day is taken for born in the month that lies sixty-three years and a half before it: the
    middle of what it can be, so that the age on that day is what was said. The day isn't made up: a birth without one
    contradicts no other source that has it."""
    said = age.years.fill(cells)
    if said is None:
        return {}
    years = number(said, decimal)
    if years is None or not 0 <= years <= _OLDEST:
        raise NotTaken(Reason.BAD_VALUE, age.years.text)
    day = age.at or default
    on = moment(day, cells) if day is not None else None
    if on is None or on.whole is None:
        raise NotTaken(Reason.NO_DATE, "of the age")
    lived = years + 0.5 if years.is_integer() else years
    try:
        day_of_birth = on.whole - timedelta(days=round(lived * _YEAR))
    except OverflowError:
        raise NotTaken(Reason.BAD_DATE, "of the age") from None
    return {"year_of_birth": day_of_birth.year, "month_of_birth": day_of_birth.month}


def sex(said: SexFrom | None, cells: Cells[str, str], decimal: str) -> int:
    """The concept of the sex, 0 where nothing says it; NotTaken for a code that the mapping doesn't know."""
    cell = None if said is None else said.from_.fill(cells)
    if said is None or cell is None:
        return NO_CONCEPT
    for listed, concept in ((said.female, FEMALE), (said.male, MALE), (said.other, OTHER_SEX)):
        if _listed(listed, cell, decimal):
            return concept
    raise NotTaken(Reason.BAD_VALUE, said.from_.text)


def _listed(listed: Sequence[Cell], cell: str, decimal: str) -> bool:
    return any(_same(one, cell, decimal) for one in listed)


def code(template: Template, cells: Cells[str, str]) -> Code | None:
    """The code of a row, None where it says none; NotTaken for what can't be one."""
    said = template.fill(cells)
    if said is None:
        return None
    vocabulary, _, text = said.partition(":")
    found = plain_code(vocabulary, text)
    if found is None:
        raise NotTaken(Reason.BAD_CODE, template.text)
    return found


def coded(record: Record, cells: Cells[str, str]) -> Code | None:
    """What a record is of, None where a row says nothing of it; raises NotTaken."""
    if record.codes is None:
        return None if record.code is None else code(record.code, cells)
    said = record.codes.from_.fill(cells)
    if said is None:
        return None
    if said not in record.codes.is_:
        raise NotTaken(Reason.BAD_CODE, f"{record.codes.from_.text} isn't listed in codes")
    return code(record.codes.is_[said], cells)


def measured(record: Record, cells: Cells[str, str], decimal: str) -> dict[str, Value] | None:
    """The columns of a number with its unit, or of a coded answer; None where the row says none. Raises NotTaken."""
    if record.answer is not None:
        answer = code(record.answer, cells)
        return None if answer is None else {"value_as_concept_id": answer}
    if record.value is None:
        return {}
    said = record.value.fill(cells)
    if said is None:
        return None
    bound = _BOUNDED.fullmatch(said)
    found = number(bound[2] if bound else said, decimal)
    # An observation has no column for a bound, which would pass for the value itself.
    if found is None or (bound and record.table == "observation"):
        raise NotTaken(Reason.BAD_VALUE, record.value.text)
    values: dict[str, Value] = {"value_as_number": found}
    if bound:
        values["operator_concept_id"] = COMPARATORS[bound[1]]
    if record.unit is not None:
        values["unit_concept_id"] = Code("UCUM", _unit(record, record.unit, cells))
    return values


def _unit(record: Record, template: Template, cells: Cells[str, str]) -> str:
    said = template.fill(cells)
    if said is None:
        raise NotTaken(Reason.UNIT_UNKNOWN, template.text)
    if not template.columns:
        return said
    if record.units:
        if said not in record.units:
            raise NotTaken(Reason.UNIT_MISFIT, template.text)
        return record.units[said]
    if plain_code("UCUM", said) is None:
        raise NotTaken(Reason.UNIT_UNKNOWN, template.text)
    return said
