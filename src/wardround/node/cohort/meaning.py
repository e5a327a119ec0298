"""What words of a question mean in OMOP's columns: one place for the evaluator and for what is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wardround.contracts.cohort_tree import Measurement, Recorded, Sex
from wardround.contracts.cohort_units import OMOP_UNITS, fitting
from wardround.node.records.schema import FEMALE, MALE, OTHER_SEX

SEXES: Mapping[Sex, int] = MappingProxyType({"F": FEMALE, "M": MALE, "O": OTHER_SEX})

PERSON = "person_id"

BIRTH_WITHOUT_MONTH = (7, 1)
"""Month and day of a birth of which the year alone is known: the middle of the year."""
BIRTH_WITHOUT_DAY = 15

MAPS_TO = "Maps to"
ABOVE = (4172704, 4172705)
"""OMOP's `operator_concept_id` of `>` and `>=`: the number is a lower bound, as with an eGFR of >90."""
BELOW = (4171756, 4171754)
"""Those of `<` and `<=`."""

_ALMOST = 1e-9


@dataclass(frozen=True, slots=True)
class Columns:
    """Where an event is: its table, and the columns of its concept and its day."""

    table: str
    concept: str
    day: str


EVENTS: Mapping[str, Columns] = MappingProxyType(
    {
        "condition": Columns("condition_occurrence", "condition_concept_id", "condition_start_date"),
        "procedure": Columns("procedure_occurrence", "procedure_concept_id", "procedure_date"),
        "drug": Columns("drug_exposure", "drug_concept_id", "drug_exposure_start_date"),
        "observation": Columns("observation", "observation_concept_id", "observation_date"),
        "measurement": Columns("measurement", "measurement_concept_id", "measurement_date"),
    }
)


def columns_of(event: Recorded | Measurement) -> Columns:
    return EVENTS[event.kind]


@dataclass(frozen=True, slots=True)
class Bounds:
    """A measurement's bounds in one unit as records may name it: the texts, the OMOP concept or None."""

    texts: tuple[str, ...]
    concept: int | None
    low: float | None
    high: float | None


def bounds(event: Measurement) -> tuple[Bounds, ...]:
    """The bounds of `event` in each unit in which its number may have been recorded.

    They are wider by one part in a thousand million, so that a number which was turned from one unit into another
    meets the bound that it met before.
    """
    if event.unit is None:
        return ()
    return tuple(
        Bounds(
            texts=(unit, f"UCUM:{unit}"),
            concept=OMOP_UNITS.get(unit),
            low=None if event.min is None else event.min * factor - abs(event.min * factor) * _ALMOST,
            high=None if event.max is None else event.max * factor + abs(event.max * factor) * _ALMOST,
        )
        for unit, factor in sorted(fitting(event.unit).items())
    )


BAND = 10
OLDEST_BAND = 90


def age_band(years: int) -> str:
    """The ten years that an age is in, as they are told; 90 and more are one band."""
    if years >= OLDEST_BAND:
        return f"{OLDEST_BAND} and over"
    low = BAND * (years // BAND)
    return f"{low:02d}-{low + BAND - 1:02d}"


def year_told(year: int) -> str:
    """How many years an image lies from the index event: 0 is the year from that day on, -1 the year before it."""
    return f"{year + 1}. year after" if year >= 0 else f"{-year}. year before"
