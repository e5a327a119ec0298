"""A cohort question as one query, by Ibis, for DuckDB and PostgreSQL alike.

Values of a question become literals of Ibis, never text that an engine parses. `evaluation` says what every node means;
here the same is said in sets. A criterion gives the people of whom it is true, in any order and perhaps more than once;
`all` narrows the people by one set after the other, `any` unites sets, `not` takes one away.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

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
from wardround.node.cohort.condition import YEAR, birth, coded, digits, either, measures, shows
from wardround.node.cohort.meaning import PERSON, SEXES, Columns, columns_of
from wardround.node.cohort.relation import answered, relation
from wardround.node.cohort.vocabulary import Remembered, Vocabulary

IMAGE = "image_occurrence_id"
_STATED = "stated_age"
_BIRTH = ("year_of_birth", "month_of_birth", "day_of_birth")
_FOUR_YEARS = 1461
"""Days, of which one is a leap day."""


def compile_question(question: CohortQuestion, backend: BaseBackend) -> Table:
    """The people of whom the question is true: one column `person_id`, each once.

    Raises:
        NotAllowed: it names a concept or code that the vocabulary here doesn't have (code `unknown-concept`).
    """
    return Compilation(question, backend).people()


class Compilation:
    """One question on one backend.

    Args:
        backend: with the tables of `wardround.node.records.schema`. Small questions about its vocabulary are asked
            at once.
        remembered: what was found in it for earlier questions; more is put there.

    Raises:
        NotAllowed: see `compile_question`.
    """

    def __init__(self, question: CohortQuestion, backend: BaseBackend, remembered: Remembered | None = None) -> None:
        self._question = question
        self._backend = backend
        self._vocabulary = Vocabulary(backend, remembered)
        first = {codes: path for path, codes in reversed(tuple(question.code_sets()))}
        self._named = {codes: self._vocabulary.named(codes, path) for codes, path in first.items()}
        self._ways: dict[tuple[str, CodeSet], Any] = {}
        self._index = self._index_days()

    @property
    def has_index(self) -> bool:
        """Whether the question has an index event, at which ages are told then."""
        return self._index is not None

    def people(self) -> Table:
        """One column `person_id`, each once."""
        return self.persons().select(PERSON)

    def persons(self) -> Table:
        """`person_id` and `gender_concept_id`, each person once."""
        found = self._narrowed(self._indexed(self._persons()), self._question.where, None)
        return found.select(PERSON, "gender_concept_id")

    def images(self) -> Table:
        """The images that the question uses: the columns of `image_occurrence`; see `CohortQuestion`."""
        every = relation(self._backend, "image_occurrence")
        events = self._question.imaging()
        if not events:
            return every.filter(among(every, self.people(), PERSON))
        used = [self._used_as(event, every) for event in events]
        if len(used) == 1:
            return used[0]
        return every.filter(among(every, ibis.union(*(one.select(IMAGE) for one in used)), IMAGE))

    def ages(self, used: Table) -> Table:
        """`person_id` and `age`, in whole years: at the index event where the question has one, of whoever had it;
        else at the images `used`. Nobody has an age before their birth."""
        found = self._occurrences(AtIndex()) if self._index is not None else self._occurrences_in(used)
        stated = found.filter(found[_STATED].notnull()) if _STATED in found.columns else None
        rows = self._born(found if stated is None else found.filter(found[_STATED].isnull()))
        lived = digits(rows.day) - birth(rows)
        counted = rows.filter(lived >= 0).select(PERSON, age=lived // YEAR)
        if stated is None:
            return counted
        return ibis.union(stated.select(PERSON, age=stated[_STATED].cast("int64")), counted)

    def years(self, used: Table) -> Table | None:
        """`person_id` and `year` of the images `used`: how many times 365.25 days lie between the person's index event
        and the image, rounded down, so that -1 is the year before it. None where the question has no index event."""
        if self._index is None:
            return None
        days = self._index.select(other_person=self._index[PERSON], index_day=self._index.day)
        rows = used.select(person_id=used[PERSON], day=used.image_occurrence_date)
        joined = rows.join(days, rows[PERSON] == days.other_person)
        distance: Any = joined.day.delta(joined.index_day, unit="day")
        told = joined.select(PERSON, year=(distance * 4) // _FOUR_YEARS)
        return told.filter(told.year.notnull())

    def _persons(self) -> Table:
        return relation(self._backend, "person").select(PERSON, "gender_concept_id", *_BIRTH)

    def _indexed(self, domain: Table) -> Table:
        return domain if self._index is None else domain.filter(among(domain, self._index, PERSON))

    def _index_days(self) -> Table | None:
        index = self._question.index
        if index is None:
            return None
        rows = self._occurrences(index.event)
        rows = rows.filter(rows.day.notnull())
        return rows.group_by(PERSON).agg(day=rows.day.min() if index.which == "first" else rows.day.max())

    def _used_as(self, event: Imaging, every: Table) -> Table:
        """The images that match `event` where the question holds with it standing for them alone."""
        domain = every.filter(*shows(event, every))
        index = self._question.index
        if index is not None and index.event == event and self._index is not None:
            days = self._index.rename(image_occurrence_date="day")
            domain = domain.filter(among(domain, days, PERSON, "image_occurrence_date"))
        return self._narrowed(self._indexed(domain), self._question.where, event)

    def _narrowed(self, domain: Table, node: Criterion | None, bound: Imaging | None) -> Table:
        """The rows of `domain`, people or images, of which `node` is true. `bound`: see `_used_as`."""
        match node:
            case None:
                return domain
            case All():
                return reduce(lambda left, part: self._narrowed(left, part, bound), _told_once(node), domain)
            case Not():
                return domain.filter(~among(domain, self._whose(node.of), PERSON))
            case SexIs() if "gender_concept_id" in domain.columns:
                return domain.filter(domain.gender_concept_id.isin([SEXES[sex] for sex in node.any_of]))
            case Any_() if bound is not None and _concerns(node, bound):
                parts = [self._narrowed(domain, part, bound).select(IMAGE) for part in node.of]
                return domain.filter(among(domain, ibis.union(*parts) if len(parts) > 1 else parts[0], IMAGE))
            case AgeAt() if _BIRTH[0] in domain.columns and _STATED not in (at := self._occurrences(node.at)).columns:
                return domain.filter(_came_of_age(domain, at, node))
            case _ if bound is not None and _concerns(node, bound):
                return self._narrowed_bound(domain, node, bound)
            case _:
                return domain.filter(among(domain, self._whose(node), PERSON))

    def _narrowed_bound(self, domain: Table, node: Criterion, bound: Imaging) -> Table:
        """The images of `domain`, all of which match `bound`, of which a criterion that names it is true."""
        match node:
            case AgeAt():
                ages = self._aged(self._occurrences_in(domain, keep=IMAGE), node)
                return domain.filter(among(domain, ages, IMAGE))
            case Order():
                own = self._occurrences_in(domain, keep=IMAGE)
                ways = []
                if node.event == bound:
                    ways.append(_pairs(own, self._occurrences(node.other), node, keep=IMAGE))
                if node.other == bound:
                    ways.append(_pairs(own, self._occurrences(node.event), node, keep=IMAGE, turned=True))
                return domain.filter(among(domain, ibis.union(*ways) if len(ways) > 1 else ways[0], IMAGE))
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
                persons, named = relation(self._backend, "person"), self._named[node.codes]
                kinds = [coded(persons, f"{kind}_concept_id", named, node.codes) for kind in ("ethnicity", "race")]
                return persons.filter(either(kinds[0] + kinds[1])).select(PERSON)
            case AgeAt():
                return self._aged(self._occurrences(node.at), node).select(PERSON)
            case Order():
                return _pairs(self._occurrences(node.event), self._occurrences(node.other), node, keep=PERSON)
            case _:
                return self._occurrences(node).select(PERSON)

    def _occurrences(self, moment: Moment) -> Table:
        """`person_id`, `day` and, of images, `stated_age` of each time that somebody had an event."""
        match moment:
            case AtIndex():
                index = self._question.index
                if index is None or self._index is None:
                    raise AssertionError("a question that names its index event has one")
                rows, days = self._occurrences(index.event), self._index
                return rows.filter(among(rows, days, PERSON, "day"))
            case Death():
                rows = relation(self._backend, "death")
                return _occurring(rows, rows.death_date)
            case Imaging():
                rows = relation(self._backend, "image_occurrence")
                return self._occurrences_in(rows.filter(*shows(moment, rows)))
            case Recorded() | Measurement():
                where = columns_of(moment)
                rows = relation(self._backend, where.table)
                rows = rows.filter(self._coded(rows, where, moment.codes))
                if isinstance(moment, Measurement) and moment.unit is not None:
                    rows = rows.filter(measures(moment, rows))
                return _occurring(rows, rows[where.day])

    def _coded(self, rows: Table, where: Columns, codes: CodeSet) -> Any:
        """Whether `rows` are of a code set.

        Most often all that are so are found by their concept, and a test of one column alone is one that an engine
        looks up in an index or in the statistics of its blocks. So what no row meets isn't asked.
        """
        key = (where.table, codes)
        if key not in self._ways:
            first, *others = coded(rows, where.concept, self._named[codes], codes)
            self._ways[key] = first
            if others:
                each = [rows.filter(test).select(way=number).limit(1) for number, test in enumerate(others)]
                found = answered(self._backend, ibis.union(*each) if len(each) > 1 else each[0])
                self._ways[key] = either([first, *(others[number] for (number,) in sorted(found))])
        return self._ways[key]

    @staticmethod
    def _occurrences_in(images: Table, keep: str | None = None) -> Table:
        return _occurring(images, images.image_occurrence_date, images.age_years, keep=keep)

    def _born(self, rows: Table) -> Table:
        births = relation(self._backend, "person").select(PERSON, *_BIRTH)
        return rows.join(births, PERSON)

    def _aged(self, rows: Table, node: AgeAt) -> Table:
        joined = self._born(rows)
        # Eight digits a day: the difference is at least 10,000 for each whole year, without any division.
        lived = digits(joined.day) - birth(joined)
        low, high = node.min or 0, node.max
        counted = lived >= low * YEAR
        if high is not None:
            counted = counted & (lived < (high + 1) * YEAR)
        if _STATED not in joined.columns:
            return joined.filter(counted)
        stated = joined[_STATED] >= low
        if high is not None:
            stated = stated & (joined[_STATED] <= high)
        return joined.filter(ibis.ifelse(joined[_STATED].notnull(), stated, counted))


def among(rows: Table, others: Table, *columns: str) -> BooleanValue:
    """Whether one of `others` has the same values in these columns, as `EXISTS`.

    A semi-join says the same; but of one before another join, within a part that is used twice, Ibis 12 makes SQL that
    PostgreSQL can't read. Without the view, columns of `others` that come from the same table as `rows` would be taken
    for those of `rows`.
    """
    seen = others.view()
    same: Any = reduce(lambda left, right: left & right, (rows[name] == seen[name] for name in columns))
    return same.any()


def _occurring(rows: Table, day: Value, age: Value | None = None, keep: str | None = None) -> Table:
    kept = {keep: rows[keep]} if keep else {}
    stated = {} if age is None else {_STATED: age}
    return rows.select(person_id=rows[PERSON], day=day, **stated, **kept)


def _came_of_age(people: Table, occurrences: Table, node: AgeAt) -> BooleanValue:
    """Whether one of the `occurrences`, of which none states an age, lies as `node` asks from the birth of a person.

    With either side of a comparison of one table alone, an engine needs no other look at all persons for their births.
    """
    seen = occurrences.view()
    day, born = digits(seen.day), birth(people)
    fits: Any = (people[PERSON] == seen[PERSON]) & (day >= born + (node.min or 0) * YEAR)
    if node.max is not None:
        fits = fits & (day < born + (node.max + 1) * YEAR)
    return cast(BooleanValue, fits.any())


def _pairs(rows: Table, others: Table, node: Order, *, keep: str, turned: bool = False) -> Table:
    """`keep` of the `rows` that lie as `node` asks from one of `others`; `turned`: `rows` are those of `node.other`."""
    # As it is, not renamed, so that occurrences that are needed twice are one part of the query.
    others = others.view()
    joined = rows.join(others, rows[PERSON] == others[PERSON], rname="other_{name}")
    distance: Any = joined.other_day.delta(joined.day, unit="day")
    if node.when == "around":
        distance = distance.abs()
    elif (node.when == "after") != turned:
        distance = -distance
    fits = distance >= node.min_days
    if node.max_days is not None:
        fits = fits & (distance <= node.max_days)
    return joined.filter(fits).select(keep)


def _told_once(node: All) -> Sequence[Criterion]:
    """The parts without those events that another part has to have happened anyway, the narrowest first: what is left
    of the people by then is looked up by what comes after."""
    implied = {part.at for part in node.of if isinstance(part, AgeAt)}
    implied |= {event for part in node.of if isinstance(part, Order) for event in (part.event, part.other)}
    parts = [part for part in dict.fromkeys(node.of) if part not in implied]
    return sorted(parts, key=lambda part: _NARROW.get(type(part), len(_NARROW)))


_NARROW: dict[type[Any], int] = {
    kind: place for place, kind in enumerate((SexIs, Order, AgeAt, Recorded, Measurement, Death, Imaging))
}
"""From what one column of the persons says to what most people meet."""


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
