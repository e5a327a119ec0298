"""Facts of people out of this hospital's health records, for a package that names them.

Who is read is said by the cohort that was frozen; what is read of them, by the package that was approved. Records are
read as they stand: a load since the approval counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.cohort_units import OMOP_UNITS, fitting
from wardround.learning.fact import Fact, Target
from wardround.node.cohort.meaning import BIRTH_WITHOUT_DAY, BIRTH_WITHOUT_MONTH, EVENTS
from wardround.node.records.schema import EVENT_DATE, FEMALE, MALE
from wardround.node.records.store import Connection, Records
from wardround.node.settings import RecordsSettings

_CHUNK = 400
_NONE, _EQUALS = 0, 4172703
"""OMOP's `operator_concept_id` of none and of `=`: any other makes the number a bound."""
_SEXES = {FEMALE: 0.0, MALE: 1.0}


@dataclass(frozen=True)
class RecordsPlace:
    """Where the health records lie on this machine."""

    folder: Path
    database: str
    memory_mb: int
    threads: int

    @classmethod
    def of(cls, folder: Path, settings: RecordsSettings) -> RecordsPlace:
        return cls(folder, settings.database, settings.memory_mb, settings.threads)

    def open(self) -> Records:
        return Records(
            self.folder, RecordsSettings(database=self.database, memory_mb=self.memory_mb, threads=self.threads)
        )


@dataclass(frozen=True)
class Told:
    """What the records say of people, by the site's own pseudonyms: values (people, facts), NaN where nothing is said;
    targets are empty where that isn't known."""

    people: tuple[str, ...]
    values: NDArray[np.float64]
    targets: tuple[tuple[float, ...], ...]


def facts_of(records: Records, people: Sequence[str], facts: Sequence[Fact], target: Target) -> Told:
    """Those of these people whom the records know, in their order, and what is said of them.

    Raises:
        RecordsBusy: a load is being applied.
    """
    with records.reading() as backend:
        reading = _Reading(Connection(backend), people)
        days = reading.last_days(facts)
        columns = [reading.values(fact, days) for fact in facts]
        targets = reading.targets(target, days)
        known = tuple(name for name in people if name in reading.born)
    values = [[column.get(name, np.nan) for column in columns] for name in known]
    made = np.array(values, np.float64).reshape(len(known), len(columns))
    return Told(known, made, tuple(targets.get(name, ()) for name in known))


def ethnicities(records: Records, people: Sequence[str]) -> dict[str, str]:
    """The ethnic background of each of these people, by the site's own pseudonyms: what the records have as race and as
    ethnicity (a UK ethnic category is the latter), as the vocabulary calls the concept, or else as their source does,
    or by the concept's number; those of whom nothing is said aren't there.

    Raises:
        RecordsBusy: a load is being applied.
    """
    with records.reading() as backend:
        connection = Connection(backend)
        names = dict(
            connection.rows("SELECT concept_id, concept_name FROM concept WHERE domain_id IN ('Race', 'Ethnicity')")
        )
        said = connection.rows(
            "SELECT person_source_value, race_concept_id, race_source_value, ethnicity_concept_id, "
            "ethnicity_source_value FROM person"
        )
    asked = set(people)

    def name(concept: int | None, source: str | None) -> str:
        return str(names.get(concept) or source or (f"concept {concept}" if concept else ""))

    found = {
        who: ", ".join(part for part in (name(race, race_text), name(ethnicity, ethnicity_text)) if part)
        for who, race, race_text, ethnicity, ethnicity_text in said
        if who in asked
    }
    return {who: told[:140] for who, told in found.items() if told}


class _Reading:
    def __init__(self, connection: Connection, people: Sequence[str]) -> None:
        self._connection = connection
        self._people = list(people)
        born = self._rows(
            "SELECT person_source_value, year_of_birth, month_of_birth, day_of_birth, gender_concept_id FROM person"
        )
        self.born = {name: tuple(found) for name, *found in born}

    def last_days(self, facts: Sequence[Fact]) -> dict[str, date]:
        """The day of each one's last measurement among these facts."""
        days: dict[str, date] = {}
        for fact in facts:
            if fact.of == "measurement":
                for name, day in self._of(fact, "max"):
                    days[name] = max(day, days.get(name, day))
        return days

    def values(self, fact: Fact, days: Mapping[str, date]) -> dict[str, float]:
        """The fact of each one of whom it is known."""
        if fact.of == "age":
            aged = {name: _age(self.born[name], day) for name, day in days.items() if name in self.born}
            return {name: float(years) for name, years in aged.items() if years is not None}
        if fact.of == "sex":
            return {name: _SEXES[found[3]] for name, found in self.born.items() if found[3] in _SEXES}
        if fact.of == "measurement":
            return self._numbers(fact)
        there = {name for name, _ in self._of(fact, "min")}
        return {name: float(name in there) for name in self.born}

    def targets(self, target: Target, days: Mapping[str, date]) -> dict[str, tuple[float, ...]]:
        """What is to be told of each one of whom it is known."""
        if target.since is None:
            return {name: (value,) for name, value in self.values(target.fact, days).items()}
        came, until = dict(self._of(target.fact, "min")), self._last_seen()
        found: dict[str, tuple[float, ...]] = {}
        for name, since in self._of(target.since, "min"):
            end = came.get(name) or until.get(name)
            if end is not None and end >= since:
                found[name] = (float((end - since).days), float(name in came))
        return found

    def _numbers(self, fact: Fact) -> dict[str, float]:
        coded, codes = _coded("e.measurement", fact)
        sql = (
            "SELECT p.person_source_value, e.value_as_number, e.unit_source_value, e.unit_concept_id "  # noqa: S608
            f"FROM measurement e JOIN person p ON p.person_id = e.person_id WHERE {coded} "
            f"AND e.value_as_number IS NOT NULL AND coalesce(e.operator_concept_id, {_NONE}) IN ({_NONE}, {_EQUALS})"
        )
        found = {}
        for name, number, text, concept in self._rows(sql, codes, " ORDER BY e.measurement_date, e.measurement_id"):
            value = _in_unit(float(number), fact.unit, text, concept)
            if value is not None:
                found[name] = value  # the last one stands
        return found

    def _of(self, fact: Fact, pick: str) -> Iterator[tuple[str, date]]:
        """Each one's first (`min`) or last (`max`) day with such an event."""
        if fact.of == "death":
            table, day, coded = "death", "death_date", "true"
            codes: list[object] = []
        else:
            event = EVENTS[fact.of]
            table, day = event.table, event.day
            coded, codes = _coded(f"e.{event.concept.removesuffix('_concept_id')}", fact)
        sql = (
            f"SELECT p.person_source_value, {pick}(e.{day}) FROM {table} e "  # noqa: S608 - our names
            f"JOIN person p ON p.person_id = e.person_id WHERE {coded}"
        )
        yield from self._rows(sql, codes, " GROUP BY p.person_source_value")

    def _last_seen(self) -> dict[str, date]:
        """The last day on which the records say anything of each one."""
        seen: dict[str, date] = {}
        days = {name: day for name, day in EVENT_DATE.items() if name not in ("death", "image_occurrence")}
        for table, day in (*days.items(), ("observation_period", "observation_period_end_date")):
            sql = (
                f"SELECT p.person_source_value, max(e.{day}) FROM {table} e JOIN person p ON p.person_id = e.person_id"  # noqa: S608
            )
            for name, last in self._rows(f"{sql} WHERE true", (), " GROUP BY p.person_source_value"):
                seen[name] = max(last, seen.get(name, last))
        return seen

    def _rows(self, sql: str, parameters: Sequence[object] = (), after: str = "") -> Iterator[tuple[Any, ...]]:
        """The rows of a query that are of these people."""
        joined = " AND " if " WHERE " in sql else " WHERE "
        for start in range(0, len(self._people), _CHUNK):
            part = self._people[start : start + _CHUNK]
            marks = ", ".join("?" for _ in part)
            of_them = f"{joined}person_source_value IN ({marks})"
            yield from self._connection.rows(f"{sql}{of_them}{after}", [*parameters, *part])


def _coded(stem: str, fact: Fact) -> tuple[str, list[object]]:
    """The condition that an event has the fact's code: as it came, as its concept, or as one that lies below that."""
    vocabulary, _, code = fact.code.partition(":")
    named = "SELECT concept_id FROM concept WHERE vocabulary_id = ? AND concept_code = ?"
    below = f"SELECT descendant_concept_id FROM concept_ancestor WHERE ancestor_concept_id IN ({named})"  # noqa: S608
    condition = f"({stem}_source_value = ? OR {stem}_concept_id IN ({named}) OR {stem}_concept_id IN ({below}))"
    return condition, [fact.code, vocabulary, code, vocabulary, code]


def _in_unit(number: float, unit: str, text: str | None, concept: int | None) -> float | None:
    """A number as it stands in `unit`; None where its own unit isn't known or doesn't turn into that."""
    if not unit:
        return number
    own = (text or "").removeprefix("UCUM:")
    try:
        factors = fitting(unit)
    except KeyError:
        return number if own == unit else None
    if own not in factors:
        own = next((name for name, known in OMOP_UNITS.items() if known == concept and name in factors), "")
    return number / factors[own] if own else None


def _age(born: tuple[Any, ...], day: date) -> int | None:
    """Whole years, with a birth that isn't known to the day where `cohort.evaluation` takes it to be."""
    year, month, of_month = born[:3]
    if year is None:
        return None
    if month is None:
        month, of_month = BIRTH_WITHOUT_MONTH
    elif of_month is None:
        of_month = BIRTH_WITHOUT_DAY
    years = day.year - year - ((day.month, day.day) < (month, of_month))
    return years if years >= 0 else None
