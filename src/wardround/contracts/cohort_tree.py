"""The nodes of a cohort question: events of a person, what is asked about them, and how these are put together.

An event is a kind of dated fact: a person has it never, once or often. What is asked is true or false for a person:
that an event is there, that somebody was of an age at it, that one event lies so many days before another. A value
that isn't recorded meets no condition, so that `not` finds the people of whom it isn't known too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from wardround.contracts.base import Frozen
from wardround.contracts.cohort_units import fitting, known_units

OLDEST = 130
LONGEST_DAYS = 366 * OLDEST
MOST_CODES = 1000

Sex = Literal["F", "M", "O"]
"""Patient's Sex (0010,0040), PS3.3 C.7.1.1; in OMOP the concepts 8532, 8507 and 8521."""

Age = Annotated[int, Field(ge=0, le=OLDEST, strict=True)]
Days = Annotated[int, Field(ge=0, le=LONGEST_DAYS, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
Millimetres = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1000)]
ConceptId = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Term = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,16}$")]
BodyPart = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9 _]{2,16}$")]


def _tidy(words: str) -> str:
    """ASCII letters as small ones, one space between words; nothing else is changed."""
    if not words.isprintable():
        raise ValueError("has a control character; give plain words")
    tidied = " ".join(fold(words).split())
    if not tidied:
        raise ValueError("has no word; name one or leave it out")
    return tidied


def fold(text: str) -> str:
    """`text` with the letters A to Z made small: the one change of case that every engine makes alike."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


Words = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_tidy)]
"""Words each of which the text has to contain, whatever the case of the letters A to Z."""


def _number_order(low: float | None, high: float | None, low_name: str, high_name: str) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"{low_name} {low:g} is above {high_name} {high:g}; swap them")


_DATES = frozenset({"date", "dates", "day", "first_day", "last_day", "from", "to", "since", "until", "year", "years"})


class Node(Frozen):
    """A part of the tree. A date is nothing that can be asked: it is refused with what can."""

    @model_validator(mode="before")
    @classmethod
    def _no_calendar(cls, data: Any) -> Any:
        if isinstance(data, dict) and (dated := sorted(_DATES.intersection(map(str, data)))):
            raise ValueError(
                f"`{dated[0]}` asks for a calendar date, and hospitals shift the dates of each patient by years of "
                "their own; ask how many days lie between two events, with `order`"
            )
        return data


class Code(Node):
    """A code of a vocabulary under OMOP's name of it: `SNOMED`, `ICD10CM`, `LOINC`, `RxNorm`."""

    vocabulary: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 _.-]{0,39}$")]
    code: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/*+-]{0,49}$")]


def _in_order(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Each once and sorted: the same set has one digest."""
    return tuple(sorted(set(values)))


def _codes_in_order(codes: tuple[Code, ...]) -> tuple[Code, ...]:
    return tuple(sorted(set(codes), key=lambda one: (one.vocabulary, one.code)))


class CodeSet(Node):
    """OMOP concepts by number, or codes of a vocabulary; with all that lies below them, but for `descendants` false."""

    concepts: Annotated[tuple[ConceptId, ...], Field(max_length=MOST_CODES), AfterValidator(_in_order)] = ()
    codes: Annotated[tuple[Code, ...], Field(max_length=MOST_CODES), AfterValidator(_codes_in_order)] = ()
    descendants: bool = True

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if not self.concepts and not self.codes:
            raise ValueError("names no code; give `concepts` (OMOP numbers) or `codes` (vocabulary and code)")
        return self


class Recorded(Node):
    """Something in the health record: a diagnosis, a procedure, a drug or an observation."""

    kind: Literal["condition", "procedure", "drug", "observation"]
    codes: CodeSet


class Measurement(Node):
    """A measurement; with `min` or `max` (both included) one whose number lies there, in the unit `unit` (UCUM).

    Numbers recorded in another unit of the same kind are turned into it (`cohort_units`); those in none of them don't
    count.
    """

    kind: Literal["measurement"] = "measurement"
    codes: CodeSet
    min: Number | None = None
    max: Number | None = None
    unit: Annotated[str, StringConstraints(max_length=40)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _number_order(self.min, self.max, "min", "max")
        if self.unit is None and (self.min is not None or self.max is not None):
            raise ValueError("has a bound and no unit; give `unit` in UCUM, `1` for a bare number")
        if self.unit is not None:
            if self.min is None and self.max is None:
                raise ValueError("has a unit and no bound; give `min` or `max`, or leave the unit out")
            try:
                fitting(self.unit)
            except KeyError:
                raise ValueError(
                    f"unit {self.unit!r} isn't known; known are {_nearest(self.unit)} (case matters in UCUM)"
                ) from None
        return self


def _nearest(unit: str) -> str:
    same = [known for known in known_units() if known.lower() == unit.lower()]
    alike = same or [known for known in known_units() if unit[:1].lower() == known[:1].lower()]
    return ", ".join(alike or known_units())


class Death(Node):
    kind: Literal["death"] = "death"


class Imaging(Node):
    """A series of images. All conditions hold for one and the same series; one that is left out asks nothing.

    modality, body_part: the Defined Terms of (0008,0060) and (0018,0015). description, manufacturer: words that the
    text contains. min_thickness, max_thickness: of a slice, in millimetres, included. has_label: whether people drew a
    reference label on it.
    """

    kind: Literal["imaging"] = "imaging"
    modality: Term | None = None
    body_part: BodyPart | None = None
    description: Words | None = None
    manufacturer: Words | None = None
    min_thickness: Millimetres | None = None
    max_thickness: Millimetres | None = None
    has_label: Annotated[bool, Field(strict=True)] | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        _number_order(self.min_thickness, self.max_thickness, "min_thickness", "max_thickness")
        return self


Event = Annotated[Recorded | Measurement | Death | Imaging, Field(discriminator="kind")]


class AtIndex(Node):
    """The index event of the question."""

    kind: Literal["index"] = "index"


Moment = Annotated[Recorded | Measurement | Death | Imaging | AtIndex, Field(discriminator="kind")]
"""What a person can have been of an age at, and what lies before or after something else."""


class AgeAt(Node):
    """Whole years at one occurrence of the event at least, both bounds included."""

    kind: Literal["age"] = "age"
    at: Moment
    min: Age | None = None
    max: Age | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("asks for no age; give `min` or `max`")
        _number_order(self.min, self.max, "min", "max")
        return self


class SexIs(Node):
    """Of one of these sexes, as recorded."""

    kind: Literal["sex"] = "sex"
    any_of: Annotated[tuple[Sex, ...], Field(min_length=1, max_length=3), AfterValidator(_in_order)]


class EthnicityIs(Node):
    """Of one of these ethnicities or races, by OMOP's `ethnicity_concept_id` or `race_concept_id`."""

    kind: Literal["ethnicity"] = "ethnicity"
    codes: CodeSet


class Order(Node):
    """One occurrence of `event` lies from `min_days` to `max_days` days before, after or around one of `other`.

    Records have days, not hours: two events of the same day are 0 days apart, and either may have been first.
    """

    kind: Literal["order"] = "order"
    event: Moment
    when: Literal["before", "after", "around"]
    other: Moment
    min_days: Days = 0
    max_days: Days | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _number_order(self.min_days, self.max_days, "min_days", "max_days")
        if self.event == self.other and self.min_days == 0:
            raise ValueError("an event is always 0 days from itself; give `min_days` of 1 or more, or two events")
        if isinstance(self.event, AtIndex) and isinstance(self.other, AtIndex):
            raise ValueError("the index event is one day only; name another event")
        if self.when == "around" and self.max_days is None and self.min_days == 0:
            raise ValueError("`around` without `max_days` asks nothing; give `max_days`")
        return self


class All(Node):
    kind: Literal["all"] = "all"
    of: Annotated[tuple[Criterion, ...], Field(min_length=1, max_length=100)]


class Any_(Node):  # noqa: N801 - `Any` is typing's
    kind: Literal["any"] = "any"
    of: Annotated[tuple[Criterion, ...], Field(min_length=1, max_length=100)]


class Not(Node):
    kind: Literal["not"] = "not"
    of: Criterion


Criterion = Annotated[
    Recorded | Measurement | Death | Imaging | AgeAt | SexIs | EthnicityIs | Order | All | Any_ | Not,
    Field(discriminator="kind"),
]
"""What is true or false for a person. An event stands for having it at least once."""

All.model_rebuild()
Any_.model_rebuild()
Not.model_rebuild()


class Index(Node):
    """Each person's day 0: the first or the last of an event. Who never had it isn't found."""

    event: Event
    which: Literal["first", "last"] = "first"
