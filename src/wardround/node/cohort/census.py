"""Counts over the health records: the people whom a question finds, and those of them who are in the secret third."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.task import Axis
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort.answering import Count, Found
from wardround.node.cohort.meaning import BAND, OLDEST_BAND, SEXES, age_band, year_told
from wardround.node.cohort.noise import COUNTED_BELOW, Tally
from wardround.node.optout.queries import excluded_keys
from wardround.node.records.errors import RecordsBusy, RecordsRefused
from wardround.node.records.keys import RecordKeys
from wardround.node.records.store import Records

if TYPE_CHECKING:
    from ibis.backends import BaseBackend
    from ibis.expr.types import Table

    from wardround.node.cohort.compilation import Compilation

log = logging.getLogger(__name__)

PERSON = "person_id"
_ALL = ""


@dataclass
class Census:
    """Over the health records, where any were loaded; else `otherwise` counts.

    Whoever opted out isn't counted, from the moment on that the node knows of it. A breakdown by modality, manufacturer
    or year goes by the images that the question uses, one by age too unless the question has an index event: then it
    goes by the age at that. Somebody with images of two groups is counted in both.
    """

    records: Records
    database: Database
    keys: RecordKeys
    otherwise: Count
    _numbers: dict[str, int] = field(default_factory=dict)

    def __call__(self, question: CohortQuestion, by: tuple[Axis, ...]) -> Found:
        """The people whom `question` finds, and their groups by each axis of `by`.

        Raises:
            NotAllowed: a load is being applied (`records-busy`); a question takes too much memory (`records-memory`);
                the records can't be read (`records-unavailable`; the log says why); by year without an index event
                (`no-years-here`); or see `compilation`.
        """
        with self._opened() as backend:
            if backend is not None:
                return self._counted(question, by, backend)
        return self.otherwise(question, by)

    def used_series(self, question: CohortQuestion) -> frozenset[str] | None:
        """The UIDs of the series that a question uses, without those of whoever opted out; None where no records were
        loaded.

        Raises:
            NotAllowed: see `__call__`.
        """
        from wardround.node.cohort.compilation import Compilation

        with self._opened() as backend:
            if backend is None:
                return None
            images = self._staying(Compilation(question, backend).images(), self._left_out(backend))
            column = images.select("image_series_uid").to_pyarrow().column(0)
            return frozenset(column.to_pylist())

    @contextmanager
    def _opened(self) -> Iterator[BaseBackend | None]:
        """The records, or None where none were loaded; what goes wrong with them becomes a code."""
        import duckdb
        from ibis.common.exceptions import IbisError
        from psycopg import Error as PostgresError

        if not self.records.exists():
            yield None
            return
        try:
            with self.records.reading() as backend:
                loaded = backend.table("record_load").limit(1).to_pyarrow().num_rows
                yield backend if loaded else None
        except RecordsBusy as busy:
            raise NotAllowed(str(busy), code="records-busy") from None
        except duckdb.OutOfMemoryException:
            raise NotAllowed(
                "the question needs more memory than it may take; ask for fewer breakdowns at once, or raise "
                "`memory_mb` in [records] of node.toml",
                code="records-memory",
            ) from None
        except (RecordsRefused, duckdb.Error, PostgresError, IbisError, OSError) as error:
            log.error("the health records can't be read (%s)", type(error).__name__, exc_info=True)
            raise NotAllowed(
                "the health records can't be read; the log of this node says why", code="records-unavailable"
            ) from error

    def _counted(self, question: CohortQuestion, by: Sequence[Axis], backend: BaseBackend) -> Found:
        import ibis

        from wardround.node.cohort.compilation import Compilation

        if "year" in by and question.index is None:
            raise NotAllowed(
                "hospitals shift the dates of each patient by years of their own, so that calendar years tell nothing "
                "true; give the question an index event, and years are counted from it",
                code="no-years-here",
            )
        compiled, left_out = Compilation(question, backend), self._left_out(backend)
        persons = self._staying(compiled.persons(), left_out)
        parts = [_tallied(persons.select(PERSON, group=ibis.literal(_ALL)), _ALL, backend)]
        used = persons
        if set(by) - {"sex"}:
            # What isn't told of is left out: a part that is needed by several groups is kept in memory.
            used = self._staying(compiled.images(), left_out).select(*_USED)
        for axis in by:
            rows = _GROUPS[axis](compiled, persons, used)
            parts.append(_tallied(rows.select(PERSON, group=rows.group.cast("string")).distinct(), axis, backend))
        told = ibis.union(*parts) if len(parts) > 1 else parts[0]
        total, groups = Tally(0, 0), {axis: dict[str, Tally]() for axis in by}
        for row in told.to_pyarrow().to_pylist():
            tally = Tally(row["people"], row["counted"])
            if row["axis"] == _ALL:
                total = tally
            elif row["group"] is not None and (name := _NAMES[row["axis"]](row["group"])) is not None:
                groups[row["axis"]][name] = tally
        return Found(total, groups)

    def _left_out(self, backend: BaseBackend) -> Table | None:
        """`person_id` of whoever opted out, here or not; None for nobody."""
        from wardround.node.cohort.relation import listed

        with self.database.reading() as session:
            pseudonyms = set(session.scalars(excluded_keys()))
        if not pseudonyms:
            return None
        numbers = self._numbers
        if len(numbers) > 2 * len(pseudonyms) + 1000:
            numbers.clear()
        for pseudonym in pseudonyms:
            if pseudonym not in numbers:
                numbers[pseudonym] = self.keys.person(pseudonym)
        return listed(backend, PERSON, [numbers[pseudonym] for pseudonym in pseudonyms])

    @staticmethod
    def _staying(rows: Table, left_out: Table | None) -> Table:
        from wardround.node.cohort.compilation import among

        return rows if left_out is None else rows.filter(~among(rows, left_out, PERSON))


def _tallied(rows: Table, axis: str, backend: BaseBackend) -> Table:
    """Of `rows` (`person_id`, `group`; each once): for each group `people`, and `counted` of them."""
    import ibis

    from wardround.node.cohort.relation import relation

    words = relation(backend, "person_word")
    joined = rows.join(words, PERSON)
    counts = {"people": joined.count(), "counted": (joined.word < COUNTED_BELOW).sum().fill_null(0).cast("int64")}
    if axis == _ALL:
        return joined.agg(**counts).mutate(axis=ibis.literal(axis), group=ibis.literal(_ALL)).select(*_COLUMNS)
    return joined.group_by("group").agg(**counts).mutate(axis=ibis.literal(axis)).select(*_COLUMNS)


_USED = (PERSON, "image_occurrence_date", "age_years", "modality", "manufacturer")
_COLUMNS = ("axis", "group", "people", "counted")


def _by_age(compiled: Compilation, persons: Table, used: Table) -> Table:
    import ibis

    from wardround.node.cohort.compilation import among

    rows = compiled.ages(used)
    rows = rows.filter(among(rows, persons, PERSON))
    return rows.select(PERSON, group=ibis.least(rows.age, OLDEST_BAND) // BAND)


def _by_year(compiled: Compilation, persons: Table, used: Table) -> Table:
    rows = compiled.years(used)
    if rows is None:
        raise AssertionError("years are counted from the index event, which the question was found to have")
    return rows.select(PERSON, group=rows.year)


_GROUPS: dict[Axis, Callable[[Compilation, Table, Table], Table]] = {
    "age": _by_age,
    "year": _by_year,
    "sex": lambda _compiled, persons, _used: persons.select(PERSON, group=persons.gender_concept_id),
    "modality": lambda _compiled, _persons, used: used.select(PERSON, group=used.modality),
    "manufacturer": lambda _compiled, _persons, used: used.select(PERSON, group=used.manufacturer),
}
_SEX_NAMES = {str(number): sex for sex, number in SEXES.items()}
_NAMES: dict[Axis, Callable[[str], str | None]] = {
    "age": lambda band: age_band(BAND * int(band)),
    "year": lambda year: year_told(int(year)),
    "sex": _SEX_NAMES.get,
    "modality": str,
    "manufacturer": str,
}
