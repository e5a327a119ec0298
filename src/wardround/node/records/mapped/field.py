"""What stands in a mapping file: texts with cells in them, codes, formats of dates and units; checked when read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from wardround.contracts.cohort_units import known_units
from wardround.node.records.mapped.dates import DateFormat, date_format
from wardround.node.records.mapped.template import Template, template
from wardround.node.records.tabular import cells


class Part(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=False)


def _template(value: Any) -> Template:
    if isinstance(value, Template):
        return value
    if not isinstance(value, str):
        raise ValueError("isn't a text; put it in quotes, with {column} for what a row has there")
    return template(value)


def _format(value: Any) -> DateFormat:
    if isinstance(value, DateFormat):
        return value
    if not isinstance(value, str):
        raise ValueError("isn't a text; put it in quotes, such as '%Y-%m-%d'")
    return date_format(value)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _code(value: Template) -> Template:
    text, is_column = value.parts[0]
    vocabulary, colon, rest = text.partition(":")
    if is_column or not colon or (not rest and len(value.parts) == 1):
        raise ValueError(f"{value.text!r} isn't a code; write its vocabulary, a colon and the code: SNOMED:56265001")
    # What the cells will say is looked at row by row.
    if cells.code(vocabulary, rest + "x" * (len(value.parts) - 1) or "x") is None:
        raise ValueError(f"{value.text!r} isn't a vocabulary's name, a colon, and a code without blanks; correct it")
    return value


def _unit(value: Template) -> Template:
    if not value.columns:
        check_unit(value.text)
    return value


def check_unit(text: str) -> str:
    """Raise ValueError for what can't be a unit of UCUM, or is one in the wrong capitals."""
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > 50:
        raise ValueError(f"{text!r} isn't a unit of UCUM, which has no blanks; such as mg/dL or mm[Hg]")
    if text not in known_units():
        meant = [unit for unit in known_units() if unit.lower() == text.lower()]
        if meant:
            raise ValueError(f"{text!r} isn't a unit of UCUM, where capitals count; write {meant[0]}")
    return text


Templated = Annotated[Template, BeforeValidator(_template)]
Unit = Annotated[Templated, AfterValidator(_unit)]
UnitName = Annotated[str, AfterValidator(check_unit)]
Format = Annotated[DateFormat, BeforeValidator(_format)]
Coded = Annotated[Templated, AfterValidator(_code)]
Cell = str | int | float
OneOrMore = BeforeValidator(_listed)
Cells = Annotated[tuple[Cell, ...], BeforeValidator(_listed)]
