"""A cohort question over the enclave's index alone, as a condition on its series.

It is for a node without health records, whose people are those with images, and for questions that images can answer.
`evaluation` says what each node of the tree means; this gives the same answer in the node's own database.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Function,
    Integer,
    Select,
    String,
    and_,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement, coalesce

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import (
    AgeAt,
    All,
    Any_,
    AtIndex,
    Criterion,
    Imaging,
    Moment,
    Not,
    Order,
    SexIs,
)
from wardround.foundation.errors import NotAllowed
from wardround.node.deidentify.openness import unready
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclavePatient, EnclaveSeries, EnclaveStudy
from wardround.node.optout.queries import excluded

LABEL_MODALITY = "SEG"
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_Condition = ColumnElement[bool]
_Query = Select[*tuple[Any, ...]]


class days_between(FunctionElement[int]):  # noqa: N801 - an SQL function
    """Days from the first date to the second."""

    type = Integer()
    inherit_cache = True


@compiles(days_between, "postgresql")
def _days_postgresql(element: days_between, compiler: SQLCompiler, **kw: Any) -> str:
    first, second = element.clauses
    return f"({compiler.process(second, **kw)} - {compiler.process(first, **kw)})"


@compiles(days_between, "sqlite")
def _days_sqlite(element: days_between, compiler: SQLCompiler, **kw: Any) -> str:
    first, second = element.clauses
    return f"CAST(julianday({compiler.process(second, **kw)}) - julianday({compiler.process(first, **kw)}) AS INTEGER)"


def is_image(series: Any = EnclaveSeries) -> _Condition:
    """Labels are series too; they are counted with what they label, never for themselves."""
    return or_(series.modality.is_(None), series.modality != LABEL_MODALITY)


def whole_labels() -> _Query:
    """The labels whose own study is complete: it needn't be that of the series that they were drawn on."""
    return (
        select(EnclaveInstance.uid)
        .join(EnclaveSeries, EnclaveSeries.uid == EnclaveInstance.series_uid)
        .where(EnclaveSeries.modality == LABEL_MODALITY, EnclaveSeries.study_uid.not_in(unready()))
    )


def usable(series: Any = EnclaveSeries) -> _Condition:
    """Who opted out isn't there for any question, nor is a study that is still coming in."""
    return and_(is_image(series), series.pseudonym.not_in(excluded()), series.study_uid.not_in(unready()))


def selected(question: CohortQuestion) -> _Condition:
    """Which rows of `EnclaveSeries` a question uses; its people are those of these rows.

    Raises:
        NotAllowed: it asks for health records (code `no-records`).
    """
    asked = _Asked(question)
    conditions = [usable()]
    if (imaging := question.imaging()) == ():
        conditions.append(asked.true_of(EnclaveSeries))
    else:
        conditions.append(or_(*(asked.used_as(event) for event in imaging)))
    return and_(*conditions)


def people(question: CohortQuestion) -> _Query:
    """The pseudonyms of whom a question is true among those with images that can be used.

    Raises:
        NotAllowed: it asks for health records (code `no-records`).
    """
    return select(EnclaveSeries.pseudonym).where(usable(), _Asked(question).true_of(EnclaveSeries)).distinct()


class _Asked:
    """One question's conditions on somebody: `who` is a table with a `pseudonym`."""

    def __init__(self, question: CohortQuestion) -> None:
        if question.needs_records:
            raise NotAllowed(
                "the question asks for health records, and none are loaded here; `wardround node records load` does it",
                code="no-records",
            )
        self._question = question

    def true_of(self, who: Any) -> _Condition:
        return and_(self._has_index(who), self._holds(self._question.where, who, None))

    def used_as(self, event: Imaging) -> _Condition:
        """A series matches `event`, and the question holds with that event standing for this series alone."""
        conditions = [self._has_index(EnclaveSeries), _matches(EnclaveSeries, event)]
        if self._question.index is not None and self._question.index.event == event:
            days = self._index_days()
            on_day = exists().where(days.c.pseudonym == EnclaveSeries.pseudonym, days.c.day == _day(EnclaveSeries))
            conditions.append(on_day)
        conditions.append(self._holds(self._question.where, EnclaveSeries, event))
        return and_(*conditions)

    def _has_index(self, who: Any) -> _Condition:
        if self._question.index is None:
            return true()
        return _of(who).in_(select(self._index_days().c.pseudonym))

    def _index_days(self) -> FromClause:
        index = self._question.index
        if index is None or not isinstance(index.event, Imaging):
            raise AssertionError("only a question with an index event of images gets here")
        series = aliased(EnclaveSeries)
        pick: type[Function[date]] | Any = func.min if index.which == "first" else func.max
        return (
            select(series.pseudonym, pick(_day(series)).label("day"))
            .where(usable(series), _matches(series, index.event), _day(series).is_not(None))
            .group_by(series.pseudonym)
            .subquery()
        )

    def _holds(self, node: Criterion | None, who: Any, bound: Imaging | None) -> _Condition:
        match node:
            case None:
                return true()
            case All():
                return and_(*(self._holds(part, who, bound) for part in node.of))
            case Any_():
                return or_(*(self._holds(part, who, bound) for part in node.of))
            case Not():
                return not_(self._holds(node.of, who, None))
            case SexIs():
                of_sex = select(EnclavePatient.pseudonym).where(EnclavePatient.sex.in_(node.any_of))
                return _of(who).in_(of_sex)
            case Imaging():
                if node == bound:
                    return true()
                series = aliased(EnclaveSeries)
                return _of(who).in_(select(series.pseudonym).where(usable(series), _matches(series, node)))
            case AgeAt():
                return self._aged(node, who, bound)
            case Order():
                return self._ordered(node, who, bound)
            case _:
                return false()

    def _aged(self, node: AgeAt, who: Any, bound: Imaging | None) -> _Condition:
        def fits(series: Any) -> _Condition:
            conditions = [series.age.is_not(None)]
            conditions += [] if node.min is None else [series.age >= node.min]
            conditions += [] if node.max is None else [series.age <= node.max]
            return and_(*conditions)

        if node.at == bound:
            return and_(who.age.is_not(None), fits(who))
        series = aliased(EnclaveSeries)
        return _of(who).in_(select(series.pseudonym).where(self._is(series, node.at), fits(series)))

    def _ordered(self, node: Order, who: Any, bound: Imaging | None) -> _Condition:
        def apart(series: Any, other: Any) -> _Condition:
            distance: ColumnElement[int] = days_between(_day(series), _day(other))
            if node.when == "after":
                distance = days_between(_day(other), _day(series))
            elif node.when == "around":
                distance = func.abs(distance)
            conditions = [series.pseudonym == other.pseudonym, distance >= node.min_days]
            conditions += [] if node.max_days is None else [distance <= node.max_days]
            return and_(*conditions)

        one, two = aliased(EnclaveSeries), aliased(EnclaveSeries)
        if bound is None or bound not in (node.event, node.other):
            pairs = select(one.pseudonym).where(self._is(one, node.event), self._is(two, node.other), apart(one, two))
            return _of(who).in_(pairs)
        ways = []
        if node.event == bound:
            ways.append(exists().where(self._is(two, node.other), apart(who, two)))
        if node.other == bound:
            ways.append(exists().where(self._is(one, node.event), apart(one, who)))
        return func.coalesce(or_(*ways), false())

    def _is(self, series: Any, moment: Moment) -> _Condition:
        """Whether a series is an occurrence of `moment`."""
        if isinstance(moment, AtIndex):
            index = self._question.index
            if index is None or not isinstance(index.event, Imaging):
                return false()
            days = self._index_days()
            on_day = exists().where(days.c.pseudonym == series.pseudonym, days.c.day == _day(series))
            return and_(usable(series), _matches(series, index.event), on_day)
        if isinstance(moment, Imaging):
            return and_(usable(series), _matches(series, moment))
        return false()


def _of(who: Any) -> ColumnElement[str]:
    pseudonym: ColumnElement[str] = who.pseudonym
    return pseudonym


def _day(series: Any) -> Any:
    """The day of a series: its own, else its study's."""
    study = aliased(EnclaveStudy)
    # However deep it stands: SQLAlchemy by itself looks for `series` in the query right around it alone.
    own = select(study.date).where(study.uid == series.study_uid).correlate_except(study).scalar_subquery()
    return coalesce(series.date, own)


def _matches(series: Any, event: Imaging) -> _Condition:
    """Never unknown: a value that isn't there meets no condition."""
    conditions: list[_Condition] = [true()]
    for column, wanted in ((series.modality, event.modality), (series.body_part, event.body_part)):
        if wanted is not None:
            conditions += [column.is_not(None), column == wanted]
    for column, words in ((series.description, event.description), (series.manufacturer, event.manufacturer)):
        if words is not None:
            folded = _folded(column)
            conditions.append(column.is_not(None))
            conditions += [_position(folded, word) > 0 for word in words.split()]
    if event.min_thickness is not None:
        conditions += [series.thickness.is_not(None), series.thickness >= event.min_thickness]
    if event.max_thickness is not None:
        conditions += [series.thickness.is_not(None), series.thickness <= event.max_thickness]
    if event.has_label is not None:
        labelled = exists().where(
            EnclaveLabel.labelled_series_uid == series.uid,
            EnclaveLabel.pseudonym == series.pseudonym,
            EnclaveLabel.is_reference,
            EnclaveLabel.uid.in_(whole_labels()),
        )
        conditions.append(labelled if event.has_label else not_(labelled))
    return and_(*conditions)


class _folded(FunctionElement[str]):  # noqa: N801 - an SQL function
    """A text with A to Z made small, and no other letter: what `lower` does beyond them differs between databases."""

    type = String()
    inherit_cache = True


@compiles(_folded, "postgresql")
def _folded_postgresql(element: _folded, compiler: SQLCompiler, **kw: Any) -> str:
    (text,) = element.clauses
    return f"translate({compiler.process(text, **kw)}, '{_CAPITALS}', '{_CAPITALS.lower()}')"


@compiles(_folded, "sqlite")
def _folded_sqlite(element: _folded, compiler: SQLCompiler, **kw: Any) -> str:
    # SQLite's own `lower` knows A to Z alone (https://sqlite.org/lang_corefunc.html#lower).
    (text,) = element.clauses
    return f"lower({compiler.process(text, **kw)})"


class _position(FunctionElement[int]):  # noqa: N801 - an SQL function
    """Where a text stands in another, from 1; 0 where it doesn't."""

    type = Integer()
    inherit_cache = True


@compiles(_position, "postgresql")
def _position_postgresql(element: _position, compiler: SQLCompiler, **kw: Any) -> str:
    text, word = element.clauses
    return f"strpos({compiler.process(text, **kw)}, {compiler.process(word, **kw)})"


@compiles(_position, "sqlite")
def _position_sqlite(element: _position, compiler: SQLCompiler, **kw: Any) -> str:
    text, word = element.clauses
    return f"instr({compiler.process(text, **kw)}, {compiler.process(word, **kw)})"
