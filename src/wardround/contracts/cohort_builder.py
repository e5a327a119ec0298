"""Writes a cohort question as a sentence; what comes out is the same tree as its JSON.

from wardround.contracts.cohort_builder import condition, imaging, patients

question = (
    patients.with_(condition("SNOMED", "254935002"))
    .and_(imaging(modality="MR", body_part="BRAIN"))
    .aged(18, 80)
    .question()
)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import (
    AgeAt,
    All,
    Any_,
    AtIndex,
    Code,
    CodeSet,
    Criterion,
    Death,
    EthnicityIs,
    Event,
    Imaging,
    Index,
    Measurement,
    Moment,
    Not,
    Order,
    Recorded,
    Sex,
    SexIs,
)


def codes(vocabulary: str, *values: str, descendants: bool = True) -> CodeSet:
    """Codes of one vocabulary under OMOP's name of it, such as `codes("ICD10CM", "C71.1", "C71.2")`."""
    named = tuple(Code(vocabulary=vocabulary, code=value) for value in values)
    return CodeSet(codes=named, descendants=descendants)


def concepts(*numbers: int, descendants: bool = True) -> CodeSet:
    """OMOP concepts by number."""
    return CodeSet(concepts=numbers, descendants=descendants)


def condition(named: str | CodeSet, *values: str) -> Recorded:
    """A diagnosis: `condition("SNOMED", "254935002")`, or `condition(concepts(4129902))`."""
    return Recorded(kind="condition", codes=_codes(named, values))


def procedure(named: str | CodeSet, *values: str) -> Recorded:
    """A procedure that was done."""
    return Recorded(kind="procedure", codes=_codes(named, values))


def drug(named: str | CodeSet, *values: str) -> Recorded:
    """A drug that was given or prescribed."""
    return Recorded(kind="drug", codes=_codes(named, values))


def observation(named: str | CodeSet, *values: str) -> Recorded:
    """Any other observation, such as a habit."""
    return Recorded(kind="observation", codes=_codes(named, values))


def measurement(
    named: str | CodeSet, *values: str, low: float | None = None, high: float | None = None, unit: str | None = None
) -> Measurement:
    """A measurement, or one within bounds: `measurement("LOINC", "2160-0", low=120, unit="umol/L")`."""
    return Measurement(codes=_codes(named, values), min=low, max=high, unit=unit)


def imaging(
    *,
    modality: str | None = None,
    body_part: str | None = None,
    description: str | None = None,
    manufacturer: str | None = None,
    min_thickness: float | None = None,
    max_thickness: float | None = None,
    has_label: bool | None = None,
) -> Imaging:
    """A series of images; see `cohort_tree.Imaging`."""
    return Imaging(
        modality=modality,
        body_part=body_part,
        description=description,
        manufacturer=manufacturer,
        min_thickness=min_thickness,
        max_thickness=max_thickness,
        has_label=has_label,
    )


death = Death()
index = AtIndex()


def aged(youngest: int | None = None, oldest: int | None = None, *, at: Moment) -> AgeAt:
    """Of that age, in whole years, at the event."""
    return AgeAt(at=at, min=youngest, max=oldest)


def sex(*any_of: Sex) -> SexIs:
    return SexIs(any_of=any_of)


def ethnicity(named: str | CodeSet, *values: str) -> EthnicityIs:
    return EthnicityIs(codes=_codes(named, values))


def before(event: Moment, other: Moment, *, at_least: int = 0, at_most: int | None = None) -> Order:
    """`event` lies that many days before `other`; 0 is the same day."""
    return Order(event=event, when="before", other=other, min_days=at_least, max_days=at_most)


def after(event: Moment, other: Moment, *, at_least: int = 0, at_most: int | None = None) -> Order:
    """`event` lies that many days after `other`; 0 is the same day."""
    return Order(event=event, when="after", other=other, min_days=at_least, max_days=at_most)


def within(event: Moment, days: int, other: Moment) -> Order:
    """`event` lies at most that many days before or after `other`."""
    return Order(event=event, when="around", other=other, max_days=days)


def all_of(*criteria: Criterion) -> All:
    return All(of=criteria)


def any_of(*criteria: Criterion) -> Any_:
    return Any_(of=criteria)


def none_of(*criteria: Criterion) -> Not:
    return Not(of=criteria[0] if len(criteria) == 1 else Any_(of=criteria))


@dataclass(frozen=True, slots=True)
class Patients:
    """A question in the making. Each call gives a new one; everything asked has to be true together."""

    parts: tuple[Criterion, ...] = ()
    start: Index | None = None

    def with_(self, *criteria: Criterion) -> Patients:
        return replace(self, parts=self.parts + criteria)

    and_ = with_

    def without(self, *criteria: Criterion) -> Patients:
        """None of these is true."""
        return self.with_(*(Not(of=one) for one in criteria))

    def with_any(self, *criteria: Criterion) -> Patients:
        """One of these is true at least."""
        return self.with_(Any_(of=criteria))

    def of_sex(self, *any_of: Sex) -> Patients:
        return self.with_(SexIs(any_of=any_of))

    def since_first(self, event: Event) -> Patients:
        """Make the first of `event` the index event."""
        return replace(self, start=Index(event=event, which="first"))

    def since_last(self, event: Event) -> Patients:
        """Make the last of `event` the index event."""
        return replace(self, start=Index(event=event, which="last"))

    def aged(self, youngest: int | None = None, oldest: int | None = None, *, at: Moment | None = None) -> Patients:
        """Of that age at `at`: without it at the index event, else at the event named last, else at any image."""
        return self.with_(AgeAt(at=at or self._last(), min=youngest, max=oldest))

    def question(self) -> CohortQuestion:
        """The tree.

        Raises:
            pydantic.ValidationError: see `CohortQuestion`.
        """
        where: Criterion | None = None
        if self.parts:
            where = self.parts[0] if len(self.parts) == 1 else All(of=self.parts)
        return CohortQuestion(index=self.start, where=where)

    def _last(self) -> Moment:
        if self.start is not None:
            return AtIndex()
        events = (part for part in reversed(self.parts) if isinstance(part, Recorded | Measurement | Imaging))
        return next(events, Imaging())


patients = Patients()


def _codes(named: str | CodeSet, values: tuple[str, ...]) -> CodeSet:
    if isinstance(named, CodeSet):
        return named
    return codes(named, *values)
