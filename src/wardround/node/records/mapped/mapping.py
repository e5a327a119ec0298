"""The mapping file: what the columns of a CSV mean. Closed: an unknown key may be a misspelt one.

    [file]                          # all of these may be left out
    separator = ","                 # one character; "\\t" for a tab
    encoding = "utf-8"
    missing = ["", "?"]             # cells that say nothing
    columns = ["age", "sex"]        # only for a file whose first line doesn't name them

    [person]
    number = "{patient}"            # the Patient ID that the images have, or what the link file knows
    sex = { from = "{gender}", female = ["1"], male = ["2"] }
    age = { years = "{age}" }       # or birth = { from = "{born}", format = "%d/%m/%Y" }

    [date]                          # of every record that has none of its own
    from = "{seen}"                 # or on = 1988-06-30
    format = "%Y%m%d"

    [[record]]
    table = "condition"             # measurement, procedure, drug, observation, death, visit
    when = { column = "stroke", equals = ["1"] }
    code = "SNOMED:230690007"

A text with `{column}` in it stands for what a row has there; see `template`.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from wardround.node.records.hl7.conventions import usable
from wardround.node.records.mapped.dates import date_format
from wardround.node.records.mapped.field import (
    Cells,
    Coded,
    Format,
    OneOrMore,
    Part,
    Templated,
    Unit,
    UnitName,
)
from wardround.node.records.mapped.template import Template
from wardround.node.records.tabular.delimited import ENCODINGS, MOST_COLUMNS

MOST_RECORDS = 2_000
Table = Literal["condition", "measurement", "procedure", "drug", "observation", "death", "visit"]


class FileForm(Part):
    """separator, encoding, columns, missing, decimal (`.` or `,`), files (of a folder, those whose names fit), key:
    what tells the rows of one file apart; the person's number if not given, which is then on one row alone."""

    separator: Annotated[str, StringConstraints(min_length=1, max_length=1, pattern=r'^[^"\r\n\x00]$')] = ","
    encoding: str = "utf-8"
    columns: Annotated[tuple[str, ...], Field(max_length=MOST_COLUMNS)] = ()
    missing: Annotated[tuple[str, ...], Field(max_length=100)] = ("",)
    decimal: Literal[".", ","] = "."
    files: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^/]+$")] = "*.csv"
    key: Templated | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding {self.encoding!r} isn't known; known: {', '.join(ENCODINGS)}")
        doubled = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if doubled:
            raise ValueError(f"columns has {doubled[0]!r} more than once; give each its own name")
        if self.decimal == self.separator:
            raise ValueError("decimal and separator are the same; a file can't have both")
        return self


class When(Part):
    """A row gives a record if what it has in `column` is one of `equals`, or lies above or below a number. A number in
    `equals` is compared as one, a text as text."""

    column: str
    equals: Annotated[Cells, Field(min_length=1)] | None = None
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.equals is None and self.above is None and self.below is None:
            raise ValueError("has neither equals nor above nor below; give one")
        return self


class Day(Part):
    """A date: what a row has `from` somewhere in a `format`, or the day that is stated (`on`)."""

    from_: Annotated[Templated | None, Field(alias="from")] = None
    format: Format = date_format("%Y-%m-%d")
    on: datetime.date | None = None

    @model_validator(mode="after")
    def _says(self) -> Self:
        if (self.from_ is None) == (self.on is None):
            raise ValueError("needs either from (a column) or on (a day, such as 1988-06-30), not both")
        return self


class SexFrom(Part):
    """Which cells say which sex."""

    from_: Annotated[Templated, Field(alias="from")]
    female: Cells = ()
    male: Cells = ()
    other: Cells = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        said = [str(cell) for cell in (*self.female, *self.male, *self.other)]
        if not said or len(set(said)) != len(said):
            raise ValueError("says a code for no sex, or one code for two; list each code once")
        return self


class AgeFrom(Part):
    """The age in years on a day: that of the records, if `at` isn't given."""

    years: Templated
    at: Day | None = None


class Number(Part):
    """A number of a patient, and who gave it; empty for the hospital itself."""

    number: Templated
    issuer: str = ""

    @model_validator(mode="after")
    def _has_issuer(self) -> Self:
        if self.issuer and not usable(self.issuer):
            raise ValueError("issuer has at most 64 characters and no backslash; correct it")
        return self


class Person(Number):
    """Whom a row is about. others: further numbers of theirs, by which an opt-out may name them."""

    others: Annotated[tuple[Number, ...], OneOrMore] = ()
    sex: SexFrom | None = None
    birth: Day | None = None
    age: AgeFrom | None = None
    race: Coded | None = None
    ethnicity: Coded | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.birth is not None and self.age is not None:
            raise ValueError("has birth and age; keep the birth, from which an age follows")
        return self


class Codes(Part):
    """What a row has `from` somewhere, by the code that it stands for. What isn't listed is told as a bad code."""

    from_: Annotated[Templated, Field(alias="from")]
    is_: Annotated[dict[str, Coded], Field(alias="is", min_length=1)]

    @model_validator(mode="after")
    def _constant(self) -> Self:
        if any(code.columns for code in self.is_.values()):
            raise ValueError("is lists codes without {column}; for a code that a column has, write code instead")
        return self


class Record(Part):
    """A record that a row gives; `name` tells it from others of its table that have the same code."""

    table: Table
    name: Annotated[str, StringConstraints(max_length=60)] = ""
    when: Annotated[tuple[When, ...], OneOrMore] = ()
    code: Coded | None = None
    codes: Codes | None = None
    concept: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    value: Templated | None = None
    answer: Coded | None = None
    unit: Unit | None = None
    units: dict[str, UnitName] = Field(default_factory=dict)
    date: Day | None = None
    end: Day | None = None

    @property
    def called(self) -> str:
        """Its name in the keys of what it gives: the same for as long as its line in the file is."""
        code = self.code or (self.codes.from_ if self.codes is not None else None)
        return self.name or (code.text if code is not None else str(self.concept or ""))

    @model_validator(mode="after")
    def _fits(self) -> Self:
        said = [key for key in ("code", "codes", "concept") if getattr(self, key) is not None]
        if len(said) > 1:
            raise ValueError(f"has {' and '.join(said)}; keep one")
        if not said and self.table != "death":
            raise ValueError("says nothing; give code (SNOMED:56265001), codes, or concept (an OMOP number)")
        if self.table not in ("measurement", "observation"):
            for key in ("value", "answer", "unit"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key} is for a measurement or an observation; leave it out, or change the table")
        elif self.value is not None and self.answer is not None:
            raise ValueError("has value and answer; a number is a value, a code an answer; keep one")
        if self.unit is not None and self.value is None:
            raise ValueError("has a unit and no value; give value, or leave the unit out")
        if self.units and (self.unit is None or not self.unit.columns):
            raise ValueError(
                'units says what the cells of a unit\'s column mean; give unit = "{column}", or leave it out'
            )
        if self.end is not None and self.table not in ("condition", "procedure", "drug", "visit"):
            raise ValueError("end is for a condition, procedure, drug or visit; leave it out")
        return self


class Mapping(Part):
    """A whole mapping file. about: words for people."""

    about: str = ""
    file: FileForm = FileForm()
    person: Person
    date: Day | None = None
    record: Annotated[tuple[Record, ...], Field(max_length=MOST_RECORDS)] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        seen = set[tuple[str, str]]()
        for number, record in enumerate(self.record, start=1):
            if (record.date or self.date) is None:
                raise ValueError(f"record {number} has no date; give date in it, or [date] for all")
            if (record.table, record.called) in seen:
                raise ValueError(f"record {number} has the table and the code of one before it; give it a name")
            seen.add((record.table, record.called))
        for where, day in self._days():
            if day is not None and not day.format.has_day:
                raise ValueError(f"{where}: {day.format.text!r} has no day; a record needs a whole date")
        if self.person.age is not None and (self.person.age.at or self.date) is None:
            raise ValueError("person.age: on which day? Give at = { on = 1988-06-30 } in it, or [date]")
        return self

    def _days(self) -> list[tuple[str, Day | None]]:
        days = [("date", self.date), ("person.age.at", self.person.age.at if self.person.age else None)]
        for number, record in enumerate(self.record, start=1):
            days += [(f"record {number}: date", record.date), (f"record {number}: end", record.end)]
        return days

    def columns(self) -> frozenset[str]:
        """Every column that the mapping names."""
        return frozenset(_columns(self))


def _columns(part: object) -> set[str]:
    found = set[str]()
    if isinstance(part, Template):
        found |= {name for name in part.columns if not name.startswith("#")}
    elif isinstance(part, When):
        found.add(part.column)
    elif isinstance(part, Part):
        for name in type(part).model_fields:
            found |= _columns(getattr(part, name))
    elif isinstance(part, tuple):
        for one in part:
            found |= _columns(one)
    return found
