"""What a cohort question means: a plain evaluator over rows in memory, person by person.

It is the reference that `compilation` and `selection` are held against, and is written to be read, not to be fast.

- A condition on a value that isn't recorded isn't met; `not` of it then is.
- Age is whole years from the birth to the day of the event, PS3.3 C.7.2.2's Patient's Age; that of an image is the one
  that the image states, else this. A birth of which only the year is known is taken as 1 July, one without the day as
  the 15th. Nobody has an age at an event before their birth.
- Events have days, not hours. One without a day is had, and is neither before nor after anything.
- The index event of a person is every occurrence on the first (or last) day that has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import (
    AgeAt,
    All,
    Any_,
    AtIndex,
    CodeSet,
    Criterion,
    Death,
    EthnicityIs,
    Imaging,
    Measurement,
    Moment,
    Not,
    Order,
    Recorded,
    SexIs,
    fold,
)
from wardround.contracts.task import Axis
from wardround.node.cohort.meaning import (
    ABOVE,
    BELOW,
    BIRTH_WITHOUT_DAY,
    BIRTH_WITHOUT_MONTH,
    EVENTS,
    MAPS_TO,
    SEXES,
    age_band,
    bounds,
    columns_of,
    year_told,
)

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""The rows of each OMOP table by column; a column or table that is left out is empty."""


def people(question: CohortQuestion, rows: Rows) -> set[int]:
    """The `person_id` of whom the question is true."""
    evaluator = _Evaluator(question, rows)
    return {person["person_id"] for person in rows.get("person", ()) if evaluator.finds(person)}


def used_series(question: CohortQuestion, rows: Rows) -> set[str]:
    """The `image_series_uid` of the images that the question uses; see `CohortQuestion`."""
    evaluator = _Evaluator(question, rows)
    return {
        uid for person in rows.get("person", ()) if evaluator.finds(person) for uid in evaluator.images_used(person)
    }


def groups(question: CohortQuestion, rows: Rows, axis: Axis) -> dict[str, set[int]]:
    """The `person_id` of those in each group of a breakdown; somebody may be in several.

    By sex, of whom it is F, M or O. By modality and manufacturer, of the images that the question uses. By age, at the
    index event where the question has one, else at these images. By year, how many times 365.25 days, rounded down, lie
    from the index event to these images; a question without an index event has no such groups.
    """
    evaluator = _Evaluator(question, rows)
    found: dict[str, set[int]] = {}
    for person in rows.get("person", ()):
        if evaluator.finds(person):
            for group in evaluator.groups(person, axis):
                found.setdefault(group, set()).add(person["person_id"])
    return found


@dataclass(frozen=True, slots=True)
class _Occurrence:
    """One time that a person had an event."""

    day: date | None
    age: int | None
    series: str | None = None


@dataclass(frozen=True, slots=True)
class _Alone:
    """An imaging event that stands for one series alone."""

    event: Imaging
    series: str


class _Evaluator:
    def __init__(self, question: CohortQuestion, rows: Rows) -> None:
        self._question = question
        self._rows = rows

    def finds(self, person: Row) -> bool:
        if self._question.index is not None and self._index_day(person) is None:
            return False
        return self._question.where is None or self._holds(self._question.where, person, None)

    def images_used(self, person: Row) -> Iterator[str]:
        """Of somebody whom the question finds."""
        events = self._question.imaging()
        every = self._occurrences(Imaging(), person)
        for image in every:
            if image.series is None:
                continue
            if not events or any(self._uses(event, image.series, person) for event in events):
                yield image.series

    def groups(self, person: Row, axis: Axis) -> Iterator[str]:
        """Of somebody whom the question finds."""
        if axis == "sex":
            yield from (sex for sex, concept in SEXES.items() if concept == person.get("gender_concept_id"))
            return
        used, index = set(self.images_used(person)), self._index_day(person)
        images = [row for row in self._of(person, "image_occurrence") if row.get("image_series_uid") in used]
        if axis in ("modality", "manufacturer"):
            yield from (row[axis] for row in images if row.get(axis) is not None)
        elif axis == "age":
            at = self._occurrences(Imaging() if index is None else AtIndex(), person)
            at = [one for one in at if index is not None or one.series in used]
            yield from (age_band(one.age) for one in at if one.age is not None)
        elif index is not None:
            days = (row.get("image_occurrence_date") for row in images)
            yield from (year_told(4 * (day - index).days // 1461) for day in days if day is not None)

    def _uses(self, event: Imaging, series: str, person: Row) -> bool:
        index = self._question.index
        moment: Moment = AtIndex() if index is not None and index.event == event else event
        if series not in {found.series for found in self._occurrences(moment, person)}:
            return False
        where = self._question.where
        return where is None or self._holds(where, person, _Alone(event, series))

    def _holds(self, node: Criterion, person: Row, alone: _Alone | None) -> bool:
        match node:
            case All():
                return all(self._holds(part, person, alone) for part in node.of)
            case Any_():
                return any(self._holds(part, person, alone) for part in node.of)
            case Not():
                return not self._holds(node.of, person, None)
            case SexIs():
                return person.get("gender_concept_id") in {SEXES[sex] for sex in node.any_of}
            case EthnicityIs():
                return any(self._is_coded(node.codes, person, of) for of in ("ethnicity", "race"))
            case AgeAt():
                return any(
                    found.age is not None
                    and (node.min is None or found.age >= node.min)
                    and (node.max is None or found.age <= node.max)
                    for found in self._occurrences(node.at, person, alone)
                )
            case Order():
                return self._ordered(node, person, alone)
            case _:
                return bool(self._occurrences(node, person, alone))

    def _ordered(self, node: Order, person: Row, alone: _Alone | None) -> bool:
        whole = [self._occurrences(moment, person) for moment in (node.event, node.other)]
        narrow = [self._occurrences(moment, person, alone) for moment in (node.event, node.other)]
        if alone is not None and node.event == node.other == alone.event:
            # Two occurrences of one event: one of them is the series, the other any.
            return _apart(node, narrow[0], whole[1]) or _apart(node, whole[0], narrow[1])
        return _apart(node, *narrow)

    def _occurrences(self, moment: Moment, person: Row, alone: _Alone | None = None) -> list[_Occurrence]:
        match moment:
            case AtIndex():
                index, day = self._question.index, self._index_day(person)
                if index is None or day is None:
                    return []
                return [found for found in self._occurrences(index.event, person) if found.day == day]
            case Death():
                return self._dated(person, "death", "death_date", lambda _row: True)
            case Imaging():
                found = [
                    _Occurrence(
                        day=row.get("image_occurrence_date"),
                        age=row["age_years"]
                        if row.get("age_years") is not None
                        else _age(person, row.get("image_occurrence_date")),
                        series=row.get("image_series_uid"),
                    )
                    for row in self._of(person, "image_occurrence")
                    if _shows(moment, row)
                ]
                if alone is not None and alone.event == moment:
                    return [one for one in found if one.series == alone.series]
                return found
            case Measurement():
                where = columns_of(moment)
                return self._dated(
                    person,
                    where.table,
                    where.day,
                    lambda row: self._is_coded(moment.codes, row, moment.kind) and _measures(moment, row),
                )
            case Recorded():
                where = columns_of(moment)
                return self._dated(
                    person, where.table, where.day, lambda row: self._is_coded(moment.codes, row, moment.kind)
                )

    def _dated(self, person: Row, table: str, day: str, fits: Any) -> list[_Occurrence]:
        return [_Occurrence(row.get(day), _age(person, row.get(day))) for row in self._of(person, table) if fits(row)]

    def _of(self, person: Row, table: str) -> list[Row]:
        return [row for row in self._rows.get(table, ()) if row["person_id"] == person["person_id"]]

    def _index_day(self, person: Row) -> date | None:
        index = self._question.index
        if index is None:
            return None
        days = [found.day for found in self._occurrences(index.event, person) if found.day is not None]
        if not days:
            return None
        return min(days) if index.which == "first" else max(days)

    def _is_coded(self, codes: CodeSet, row: Row, of: str) -> bool:
        concept = EVENTS[of].concept if of in EVENTS else f"{of}_concept_id"
        stem = concept.removesuffix("_concept_id")
        named = self._named(codes)
        texts = {f"{one.vocabulary}:{one.code}" for one in codes.codes}
        return (
            row.get(concept) in self._with_descendants(codes, named)
            or row.get(f"{stem}_source_concept_id") in named
            or row.get(f"{stem}_source_value") in texts
        )

    def _named(self, codes: CodeSet) -> set[int]:
        """The concepts by number, of the codes that the vocabulary knows too, and what all of these map to."""
        wanted = {(one.vocabulary, one.code) for one in codes.codes}
        named = set(codes.concepts) | {
            row["concept_id"]
            for row in self._rows.get("concept", ())
            if (row["vocabulary_id"], row["concept_code"]) in wanted
        }
        return named | {
            row["concept_id_2"]
            for row in self._rows.get("concept_relationship", ())
            if row["concept_id_1"] in named and row["relationship_id"] == MAPS_TO
        }

    def _with_descendants(self, codes: CodeSet, named: set[int]) -> set[int]:
        if not codes.descendants:
            return named
        return named | {
            row["descendant_concept_id"]
            for row in self._rows.get("concept_ancestor", ())
            if row["ancestor_concept_id"] in named
        }


def _apart(node: Order, events: Sequence[_Occurrence], others: Sequence[_Occurrence]) -> bool:
    for event in events:
        for other in others:
            if event.day is None or other.day is None:
                continue
            days = (other.day - event.day).days
            days = -days if node.when == "after" else abs(days) if node.when == "around" else days
            if days >= node.min_days and (node.max_days is None or days <= node.max_days):
                return True
    return False


def _age(person: Row, day: date | None) -> int | None:
    year, month, born_on = (person.get(f"{part}_of_birth") for part in ("year", "month", "day"))
    if day is None or year is None:
        return None
    if month is None:
        month, born_on = BIRTH_WITHOUT_MONTH
    elif born_on is None:
        born_on = BIRTH_WITHOUT_DAY
    if (day.year, day.month, day.day) < (year, month, born_on):
        return None
    return int(day.year - year - ((day.month, day.day) < (month, born_on)))


def _measures(event: Measurement, row: Row) -> bool:
    if event.unit is None:
        return True
    number, operator = row.get("value_as_number"), row.get("operator_concept_id")
    if number is None:
        return False
    for bound in bounds(event):
        by_concept = bound.concept is not None and row.get("unit_concept_id") == bound.concept
        if not by_concept and row.get("unit_source_value") not in bound.texts:
            continue
        low = bound.low is None or (number >= bound.low and operator not in BELOW)
        high = bound.high is None or (number <= bound.high and operator not in ABOVE)
        if low and high:
            return True
    return False


def _shows(event: Imaging, row: Row) -> bool:
    thickness = row.get("slice_thickness_mm")
    if event.modality is not None and row.get("modality") != event.modality:
        return False
    if event.body_part is not None and row.get("body_part") != event.body_part:
        return False
    for name in ("description", "manufacturer"):
        wanted, text = getattr(event, name), row.get(name)
        if wanted is not None and (text is None or any(word not in fold(text) for word in wanted.split())):
            return False
    if event.min_thickness is not None and (thickness is None or thickness < event.min_thickness):
        return False
    if event.max_thickness is not None and (thickness is None or thickness > event.max_thickness):
        return False
    return event.has_label is None or row.get("has_label") is event.has_label
