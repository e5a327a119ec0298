"""A cohort question as one query, by Ibis, for DuckDB and PostgreSQL alike.

Values of a question become literals of Ibis, never text that an engine parses. `evaluation` says what every node means;
here the same is said in sets. A criterion gives the people of whom it is true, in any order and perhaps more than once;
`all` narrows the people by one set after the other, `any` unites sets, `not` takes one away.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import ibis
from ibis.backends import BaseBackend
from ibis.expr.types import BooleanValue, Table, Value

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
)
from wardround.node.cohort.meaning import (
    ABOVE,
    BELOW,
    BIRTH_WITHOUT_DAY,
    BIRTH_WITHOUT_MONTH,
    SEXES,
    bounds,
    columns_of,
)
from wardround.node.cohort.vocabulary import Named, Vocabulary

PERSON, IMAGE, SERIES = "person_id", "image_occurrence_id", "image_series_uid"
_SMALL, _CAPITAL = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_YEAR = 10_000


def compile_question(question: CohortQuestion, backend: BaseBackend) -> Table:
    """The people of whom the question is true: one column `person_id`, each once.

    Raises:
        NotAllowed: it names a concept or code that the vocabulary here doesn't have (code `unknown-concept`), or a unit
            in which what is measured was never recorded here (`unit-differs`).
    """
    return Compilation(question, backend).people()


class Compilation:
    """One question on one backend.

    Args:
        backend: with the tables of `wardround.node.records.schema`. Small questions about its vocabulary are asked
            at once.

    Raises:
        NotAllowed: see `compile_question`.
    """

    def __init__(self, question: CohortQuestion, backend: BaseBackend) -> None:
        self._question = question
        self._backend = backend
        self._vocabulary = Vocabulary(backend)
        self._named = {codes: self._vocabulary.named(codes, path) for path, codes in question.code_sets()}
        self._index = self._index_days()

    def people(self) -> Table:
        """One column `person_id`, each once."""
        return self._narrowed(self._indexed(self._persons()), self._question.where, None).select(PERSON)

    def images(self) -> Table:
        """The images that the question uses: the columns of `image_occurrence`; see `CohortQuestion`."""
        every = self._backend.table("image_occurrence")
        events = self._question.imaging()
        if not events:
            return every.semi_join(self.people(), PERSON)
        used = [self._used_as(event, every) for event in events]
        if len(used) == 1:
            return used[0]
        return every.semi_join(ibis.union(*(one.select(IMAGE) for one in used)), IMAGE)

    def index_days(self) -> Table | None:
        """`person_id` and `day` of each person's index event; None where the question has none."""
        return self._index

    def _persons(self) -> Table:
        return self._backend.table("person")

    def _indexed(self, domain: Table) -> Table:
        return domain if self._index is None else domain.semi_join(self._index, PERSON)

    def _index_days(self) -> Table | None:
        index = self._question.index
        if index is None:
            return None
        rows = self._occurrences(index.event)
        rows = rows.filter(rows.day.notnull())
        return rows.group_by(PERSON).agg(day=rows.day.min() if index.which == "first" else rows.day.max())

    def _used_as(self, event: Imaging, every: Table) -> Table:
        """The images that match `event` where the question holds with it standing for them alone."""
        domain = every.filter(*_shows(event, every))
        index = self._question.index
        if index is not None and index.event == event and self._index is not None:
            domain = domain.semi_join(
                self._index, [domain[PERSON] == self._index[PERSON], domain.image_occurrence_date == self._index.day]
            )
        return self._narrowed(self._indexed(domain), self._question.where, event)

    def _narrowed(self, domain: Table, node: Criterion | None, bound: Imaging | None) -> Table:
        """The rows of `domain`, people or images, of which `node` is true. `bound`: see `_used_as`."""
        match node:
            case None:
                return domain
            case All():
                return reduce(lambda left, part: self._narrowed(left, part, bound), _told_once(node), domain)
            case Not():
                return domain.anti_join(self._whose(node.of), PERSON)
            case SexIs() if "gender_concept_id" in domain.columns:
                return domain.filter(domain.gender_concept_id.isin([SEXES[sex] for sex in node.any_of]))
            case Any_() if bound is not None and _concerns(node, bound):
                parts = [self._narrowed(domain, part, bound).select(IMAGE) for part in node.of]
                return domain.semi_join(ibis.union(*parts) if len(parts) > 1 else parts[0], IMAGE)
            case _ if bound is not None and _concerns(node, bound):
                return self._narrowed_bound(domain, node, bound)
            case _:
                return domain.semi_join(self._whose(node), PERSON)

    def _narrowed_bound(self, domain: Table, node: Criterion, bound: Imaging) -> Table:
        """The images of `domain`, all of which match `bound`, of which a criterion that names it is true."""
        match node:
            case AgeAt():
                ages = self._aged(self._occurrences_in(domain, keep=IMAGE), node)
                return domain.semi_join(ages.select(IMAGE), IMAGE)
            case Order():
                own = self._occurrences_in(domain, keep=IMAGE)
                ways = []
                if node.event == bound:
                    ways.append(_pairs(own, self._occurrences(node.other), node, keep=IMAGE))
                if node.other == bound:
                    ways.append(_pairs(own, self._occurrences(node.event), node, keep=IMAGE, turned=True))
                return domain.semi_join(ibis.union(*ways) if len(ways) > 1 else ways[0], IMAGE)
            case _:
                return domain

    def _whose(self, node: Criterion) -> Table:
        """`person_id` of whom `node` is true."""
        match node:
            case All() | Not():
                return self._narrowed(self._persons(), node, None).select(PERSON)
            case Any_():
                parts = [self._whose(part) for part in node.of]
                return ibis.union(*parts) if len(parts) > 1 else parts[0]
            case SexIs():
                return self._narrowed(self._persons(), node, None).select(PERSON)
            case EthnicityIs():
                persons, named = self._persons(), self._named[node.codes]
                kinds = [_coded(persons, f"{kind}_concept_id", named, node.codes) for kind in ("ethnicity", "race")]
                return persons.filter(kinds[0] | kinds[1]).select(PERSON)
            case AgeAt():
                return self._aged(self._occurrences(node.at), node).select(PERSON)
            case Order():
                return _pairs(self._occurrences(node.event), self._occurrences(node.other), node, keep=PERSON)
            case _:
                return self._occurrences(node).select(PERSON)

    def _occurrences(self, moment: Moment) -> Table:
        """`person_id`, `day` and `stated_age` (of images, else null) of each time that somebody had an event."""
        match moment:
            case AtIndex():
                index = self._question.index
                if index is None or self._index is None:
                    raise AssertionError("a question that names its index event has one")
                rows, days = self._occurrences(index.event), self._index
                return rows.semi_join(days, [rows[PERSON] == days[PERSON], rows.day == days.day])
            case Death():
                rows = self._backend.table("death")
                return _occurring(rows, rows.death_date)
            case Imaging():
                rows = self._backend.table("image_occurrence")
                return self._occurrences_in(rows.filter(*_shows(moment, rows)))
            case Recorded() | Measurement():
                where = columns_of(moment)
                rows = self._backend.table(where.table)
                rows = rows.filter(_coded(rows, where.concept, self._named[moment.codes], moment.codes))
                if isinstance(moment, Measurement) and moment.unit is not None:
                    rows = rows.filter(_measures(moment, rows))
                return _occurring(rows, rows[where.day])

    @staticmethod
    def _occurrences_in(images: Table, keep: str | None = None) -> Table:
        return _occurring(images, images.image_occurrence_date, images.age_years, keep=keep)

    def _aged(self, rows: Table, node: AgeAt) -> Table:
        persons = self._persons().select(PERSON, "year_of_birth", "month_of_birth", "day_of_birth")
        joined = rows.join(persons, PERSON)
        # Eight digits a day: the difference is at least 10,000 for each whole year, without any division.
        lived = _digits(joined.day) - _birth(joined)
        low, high = node.min or 0, node.max
        stated = joined.stated_age >= low
        counted = lived >= low * _YEAR
        if high is not None:
            stated = stated & (joined.stated_age <= high)
            counted = counted & (lived < (high + 1) * _YEAR)
        return joined.filter(ibis.ifelse(joined.stated_age.notnull(), stated, counted))


def _occurring(rows: Table, day: Value, age: Value | None = None, keep: str | None = None) -> Table:
    stated = ibis.null().cast("int32") if age is None else age.cast("int32")
    kept = {keep: rows[keep]} if keep else {}
    return rows.select(person_id=rows[PERSON], day=day, stated_age=stated, **kept)


def _digits(day: Any) -> Any:
    return day.year().cast("int64") * _YEAR + day.month().cast("int64") * 100 + day.day().cast("int64")


def _birth(rows: Table) -> Any:
    month, day = BIRTH_WITHOUT_MONTH
    known = rows.month_of_birth.notnull()
    months = ibis.ifelse(known, rows.month_of_birth, month).cast("int64")
    days = ibis.ifelse(known, rows.day_of_birth.fill_null(BIRTH_WITHOUT_DAY), day).cast("int64")
    return rows.year_of_birth.cast("int64") * _YEAR + months * 100 + days


def _pairs(rows: Table, others: Table, node: Order, *, keep: str, turned: bool = False) -> Table:
    """`keep` of the `rows` that lie as `node` asks from one of `others`; `turned`: `rows` are those of `node.other`."""
    others = others.select(other_person=others[PERSON], other_day=others.day)
    joined = rows.join(others, rows[PERSON] == others.other_person)
    distance: Any = joined.other_day.delta(joined.day, unit="day")
    if node.when == "around":
        distance = distance.abs()
    elif (node.when == "after") != turned:
        distance = -distance
    fits = distance >= node.min_days
    if node.max_days is not None:
        fits = fits & (distance <= node.max_days)
    return joined.filter(fits).select(keep)


def _coded(rows: Table, concept: str, named: Named, codes: CodeSet) -> BooleanValue:
    stem = concept.removesuffix("_concept_id")
    tests: list[Any] = []
    if named.below is not None:
        tests.append(rows[concept].isin(named.below))
    if named.concepts:
        tests.append(rows[f"{stem}_source_concept_id"].isin(named.sources).fill_null(False))
    if named.concepts and named.below is None:
        tests.append(rows[concept].isin(named.concepts).fill_null(False))
    if codes.codes:
        texts = [f"{one.vocabulary}:{one.code}" for one in codes.codes]
        tests.append(rows[f"{stem}_source_value"].isin(texts).fill_null(False))
    return reduce(lambda left, right: left | right, tests)


def _measures(event: Measurement, rows: Table) -> BooleanValue:
    tests: list[Any] = []
    exact_or = rows.operator_concept_id.fill_null(0)
    for bound in bounds(event):
        unit = rows.unit_source_value.isin(list(bound.texts)).fill_null(False)
        if bound.concept is not None:
            unit = unit | (rows.unit_concept_id == bound.concept).fill_null(False)
        fits = rows.value_as_number.notnull()
        if bound.low is not None:
            fits = fits & (rows.value_as_number >= bound.low) & exact_or.notin(BELOW)
        if bound.high is not None:
            fits = fits & (rows.value_as_number <= bound.high) & exact_or.notin(ABOVE)
        tests.append(unit & fits)
    return reduce(lambda left, right: left | right, tests)


def _shows(event: Imaging, rows: Table) -> Sequence[BooleanValue]:
    tests: list[Any] = []
    if event.modality is not None:
        tests.append(rows.modality == event.modality)
    if event.body_part is not None:
        tests.append(rows.body_part == event.body_part)
    for column, words in ((rows.description, event.description), (rows.manufacturer, event.manufacturer)):
        if words is not None:
            folded = column.translate(_CAPITAL, _SMALL)
            tests += [folded.find(word) >= 0 for word in words.split()]
    if event.min_thickness is not None:
        tests.append(rows.slice_thickness_mm >= event.min_thickness)
    if event.max_thickness is not None:
        tests.append(rows.slice_thickness_mm <= event.max_thickness)
    if event.has_label is not None:
        tests.append(rows.has_label == event.has_label)
    return tests or [ibis.literal(True)]


def _told_once(node: All) -> Sequence[Criterion]:
    """The parts without those events that another part has to have happened anyway, the cheapest first."""
    implied = {part.at for part in node.of if isinstance(part, AgeAt)}
    implied |= {event for part in node.of if isinstance(part, Order) for event in (part.event, part.other)}
    parts = [part for part in dict.fromkeys(node.of) if part not in implied]
    return sorted(parts, key=lambda part: not isinstance(part, SexIs))


def _concerns(node: Criterion, bound: Imaging) -> bool:
    """Whether `bound` stands somewhere in it outside a `not`."""
    match node:
        case All() | Any_():
            return any(_concerns(part, bound) for part in node.of)
        case AgeAt():
            return node.at == bound
        case Order():
            return bound in (node.event, node.other)
        case _:
            return node == bound
