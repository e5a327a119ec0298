"""The same question finds the same people, and uses the same images, on DuckDB, PostgreSQL and by the reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from ibis.backends import BaseBackend
from tests import postgresql
from tests.unit.node.cohort.question_lab import Rows, made_up, on_duckdb, on_postgresql, questions

from wardround.contracts.cohort_query import CohortQuestion
from wardround.node.cohort import evaluation
from wardround.node.cohort.compilation import Compilation, compile_question

SEEDS = range(4)
RELAXED = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@pytest.fixture(scope="module")
def data() -> list[Rows]:
    return [made_up(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def duckdb(data: list[Rows]) -> Iterator[list[BaseBackend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(on_duckdb(rows)) for rows in data]


@pytest.fixture(scope="module")
def postgres(data: list[Rows]) -> Iterator[list[BaseBackend]]:
    if not postgresql.INSTALLED:
        pytest.skip("PostgreSQL isn't installed here; Debian's package `postgresql` has it")
    with ExitStack() as stack:
        folder = stack.enter_context(postgresql.running())
        backends = []
        for rows in data:
            database = postgresql.fresh_database(folder).split("@/")[1].split("?")[0]
            backends.append(stack.enter_context(on_postgresql(rows, folder, database)))
        yield backends


def agrees(question: CohortQuestion, rows: Rows, backend: BaseBackend) -> None:
    found = compile_question(question, backend).to_pyarrow().column("person_id").to_pylist()
    assert len(found) == len(set(found)), "each person once"
    assert set(found) == evaluation.people(question, rows)
    images = Compilation(question, backend).images().to_pyarrow().column("image_series_uid").to_pylist()
    assert len(images) == len(set(images)), "each image once"
    assert set(images) == evaluation.used_series(question, rows)


@RELAXED
@given(question=questions(), seed=st.sampled_from(SEEDS))
def test_duckdb_finds_whom_the_reference_finds(
    question: CohortQuestion, seed: int, data: list[Rows], duckdb: list[BaseBackend]
) -> None:
    note(question.in_words())
    agrees(question, data[seed], duckdb[seed])


@RELAXED
@given(question=questions(), seed=st.sampled_from(SEEDS))
def test_postgresql_finds_whom_the_reference_finds(
    question: CohortQuestion, seed: int, data: list[Rows], postgres: list[BaseBackend]
) -> None:
    note(question.in_words())
    agrees(question, data[seed], postgres[seed])


@settings(RELAXED, max_examples=60)
@given(question=questions(), seed=st.sampled_from(SEEDS))
def test_the_used_images_are_of_people_who_were_found(question: CohortQuestion, seed: int, data: list[Rows]) -> None:
    rows = data[seed]
    found = evaluation.people(question, rows)
    used = evaluation.used_series(question, rows)
    assert used <= {row["image_series_uid"] for row in rows["image_occurrence"] if row["person_id"] in found}
