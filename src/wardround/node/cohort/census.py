"""Counts over the health records: the people whom a question finds, and those of them who are in the secret third."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.task import Axis
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort.answering import Count, Found
from wardround.node.cohort.meaning import PERSON
from wardround.node.cohort.noise import COUNTED_BELOW, Tally
from wardround.node.optout.queries import excluded_keys, opted_out_of
from wardround.node.records.errors import RecordsBusy, RecordsRefused
from wardround.node.records.keys import RecordKeys
from wardround.node.records.lingering import Lingering
from wardround.node.records.store import Connection, Records

if TYPE_CHECKING:
    from ibis.backends import BaseBackend
    from ibis.expr.types import Table

    from wardround.node.cohort.compilation import Compilation
    from wardround.node.cohort.vocabulary import Remembered


log = logging.getLogger(__name__)


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
    _remembered: Remembered = field(default_factory=dict)
    _looking: Lingering = field(init=False)

    def __post_init__(self) -> None:
        self._looking = Lingering(self.records)

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
            images = self._staying(
                Compilation(question, backend, self._remembered).images(), self._left_out(backend), backend
            )
            column = images.select("image_series_uid").to_pyarrow().column(0)
            return frozenset(column.to_pylist())

    def people(self, question: CohortQuestion) -> frozenset[str]:
        """The pseudonyms of whom a question finds in the health records, without those of whoever opted out.

        Raises:
            NotAllowed: none are loaded (`no-records`); see `__call__`.
        """
        from wardround.node.cohort.compilation import Compilation
        from wardround.node.cohort.relation import answered, relation

        with self._opened() as backend:
            if backend is None:
                raise NotAllowed(
                    "no health records are loaded here, and the project reads nothing else; load some with "
                    "`wardround node records load`",
                    code="no-records",
                )
            found = Compilation(question, backend, self._remembered).persons()
            staying = self._staying(found, self._left_out(backend), backend)
            named = staying.join(relation(backend, "person"), PERSON).select("person_source_value")
            return frozenset(str(pseudonym) for (pseudonym,) in answered(backend, named))

    @contextmanager
    def _opened(self) -> Iterator[BaseBackend | None]:
        """The records, or None where none were loaded; what goes wrong with them becomes a code."""
        if not self.records.exists():
            yield None
            return
        import duckdb
        from ibis.common.exceptions import IbisError
        from psycopg import Error as PostgresError

        try:
            with self._looking.reading() as backend:
                loaded = Connection(backend).rows("SELECT 1 FROM record_load LIMIT 1")
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
        from wardround.node.cohort.compilation import Compilation
        from wardround.node.cohort.relation import kept, listed

        if "year" in by and question.index is None:
            raise NotAllowed(
                "hospitals shift the dates of each patient by years of their own, so that calendar years tell nothing "
                "true; give the question an index event, and years are counted from it",
                code="no-years-here",
            )
        compiled = Compilation(question, backend, self._remembered)
        found, number = compiled.persons(), FEW + 1
        if backend.name == "duckdb":
            found, number = kept(backend, "found", found)
        if number > FEW:
            return self._grouped(compiled, self._staying(found, self._left_out(backend), backend), by, backend)
        few = self._few(backend)
        if not by:
            return Found(Tally(len(few), sum(self.keys.word(name) < COUNTED_BELOW for name in few)))
        staying = listed(backend, PERSON, list(few.values()))[PERSON]
        return self._grouped(compiled, found.filter(found[PERSON].isin(staying)), by, backend)

    @staticmethod
    def _grouped(compiled: Compilation, found: Table, by: Sequence[Axis], backend: BaseBackend) -> Found:
        """All of `found` (`person_id`, `gender_concept_id`), and their groups."""
        import ibis

        from wardround.node.cohort.breakdown import Breakdown
        from wardround.node.cohort.relation import answered, relation

        words = relation(backend, "person_word")
        people = found.join(words, PERSON).select(PERSON, "gender_concept_id", counted=words.word < COUNTED_BELOW)
        parts = Breakdown(compiled, people, lambda: compiled.images().select(*_USED), backend).parts(by)
        told = [
            part.rows.select(ibis.literal(number, "int64").name("part"), "group", "people", "counted")
            for number, part in enumerate(parts)
        ]
        total, groups = Tally(0, 0), {axis: dict[str, Tally]() for axis in by}
        for number, group, people_there, counted in answered(backend, ibis.union(*told) if len(told) > 1 else told[0]):
            # A sum is a Decimal to PostgreSQL's driver.
            tally, part = Tally(int(people_there), int(counted)), parts[number]
            if part.axis is None:
                total = tally
            elif group is not None:
                names = groups[part.axis]
                for name in part.names(int(group)):
                    before = names.get(name, Tally(0, 0))
                    names[name] = Tally(before.people + tally.people, before.counted + tally.counted)
        return Found(total, groups)

    def _few(self, backend: BaseBackend) -> dict[str, int]:
        """Of the few people `found`, pseudonym and `person_id` of those who didn't opt out."""
        people = dict(Connection(backend).rows(_NAMED))
        with self.database.reading() as session:
            out = opted_out_of(session, people)
        return {name: number for name, number in people.items() if name not in out}

    def _left_out(self, backend: BaseBackend) -> Table | None:
        """`person_id` of whoever opted out, here or not; None for nobody."""
        from wardround.node.cohort.relation import listed

        with self.database.reading() as session:
            pseudonyms = set(session.scalars(excluded_keys()))
        if not pseudonyms:
            return None
        known = self._numbers
        numbers = {name: known.get(name) or self.keys.person(name) for name in pseudonyms}
        self._numbers = numbers  # replaced as a whole: several questions may be answered at once
        return listed(backend, PERSON, list(numbers.values()))

    @staticmethod
    def _staying(rows: Table, left_out: Table | None, backend: BaseBackend) -> Table:
        from wardround.node.cohort.compilation import among

        if left_out is None:
            return rows
        if backend.name == "duckdb":
            # DuckDB would take `NOT EXISTS` to everybody first; this it leaves to the few who are found.
            return rows.filter(rows[PERSON].notin(left_out[PERSON]))
        return rows.filter(~among(rows, left_out, PERSON))


FEW = 2000
"""Of so many people it is quicker to ask which of them opted out than to look each up among all who did."""
_NAMED = "SELECT person_source_value, person_id FROM found JOIN person USING (person_id)"
_USED = (PERSON, "image_occurrence_date", "age_years", "modality", "manufacturer")
"""What isn't told of is left out: a part that is needed by several groups is kept in memory."""
