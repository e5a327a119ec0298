"""What a reader of records gives: rows of OMOP tables with real identities and dates, or why one isn't given.

A reader shifts nothing and hides nothing; the store does, for all readers alike. Nothing that it gives is kept as it
is: the identity becomes the pseudonym, dates are shifted, codes become concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from wardround.node.records.reasons import Reason


@dataclass(frozen=True, slots=True)
class PersonIdentity:
    """Who a record is about: the Patient ID as the person's images have it (0010,0020) and its issuer (0010,0021),
    empty for the hospital's own. `others` are further identifiers, each with its issuer, for opt-outs alone."""

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    others: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a vocabulary by OMOP's name of it (`SNOMED`, `ICD10CM`, `LOINC`, `RxNorm`, `UCUM`), or the source's."""

    vocabulary: str
    code: str

    def __str__(self) -> str:
        return f"{self.vocabulary}:{self.code}"


Value = int | float | str | date | datetime | Code | tuple[Code, ...] | None


@dataclass(frozen=True, slots=True)
class Row:
    """One record.

    Args:
        table: one of `schema.RECORDS`.
        key: the source's own stable name of the record, unique in its table: loading it again replaces it. Kept as a
            keyed digest alone.
        person: whom it is about.
        values: by column, without `person_id`, the table's own id and `origin`, which the store gives. A `*_concept_id`
            holds a concept's number or a `Code` (or several, of which the first that is known counts); the code also
            goes into `*_source_value`, which a reader fills itself only to give the `Code` behind a number. A column
            of `schema.REFERENCES` holds the other record's key. For a `person`, the birth is `birth_datetime` (a date
            will do), the sex `gender_concept_id`.
        where: the line or the resource, for messages; never an identifier.
        removed: the source took the record back: what was loaded under this key goes.
    """

    table: str
    key: str = field(repr=False)
    person: PersonIdentity
    values: Mapping[str, Value] = field(repr=False)
    where: str
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that isn't given: why, and where it is in the source; never an identifier, never a value."""

    reason: Reason
    where: str


Reader = Callable[[Path], Iterator[Row | Rejected]]
"""Reads a file or a folder, one record at a time. Raises `RecordsRefused` for what can't be read at all."""
