"""The same question finds the same people, and uses the same images, on DuckDB, PostgreSQL and by the reference; and
over the enclave's own index, where images can answer it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from ibis.backends import BaseBackend
from sqlalchemy import select
from tests import postgresql
from tests.unit.node.cohort.question_lab import (
    IMAGES,
    Rows,
    images_alone,
    in_enclave,
    made_up,
    on_duckdb,
    on_postgresql,
    questions,
)

from wardround.contracts import cohort_tree as tree
from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import (
    AgeAt,
    All,
    Any_,
    AtIndex,
    Code,
    CodeSet,
    Death,
    EthnicityIs,
    Imaging,
    Index,
    Measurement,
    Not,
    Order,
    Recorded,
    SexIs,
)
from wardround.foundation.database import Database
from wardround.node.cohort import evaluation
from wardround.node.cohort.compilation import Compilation, compile_question
from wardround.node.cohort.selection import people, selected
from wardround.node.enclave.tables import EnclaveSeries

SEEDS = range(4)
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
B = CodeSet(concepts=(11,))
A = CodeSet(codes=(Code(vocabulary="SNOMED", code="A"),))
LOCAL = CodeSet(codes=(Code(vocabulary="LOCAL", code="z"),))
CONDITION = Recorded(kind="condition", codes=B)
MR = Imaging(modality="MR")
EXAMPLES: dict[str, CohortQuestion] = {
    **{
        kind: CohortQuestion(where=Recorded(kind=kind, codes=B))
        for kind in ("condition", "procedure", "drug", "observation")
    },
    "a code that maps to another": CohortQuestion(where=Recorded(kind="condition", codes=A)),
    "a code without a concept": CohortQuestion(where=Recorded(kind="condition", codes=LOCAL)),
    "no descendants": CohortQuestion(where=Recorded(kind="drug", codes=CodeSet(concepts=(11,), descendants=False))),
    "measurement": CohortQuestion(where=Measurement(codes=B)),
    "measurement in another unit": CohortQuestion(where=Measurement(codes=B, min=0.1, max=2, unit="mmol/L")),
    "death": CohortQuestion(where=Death()),
    "imaging": CohortQuestion(
        where=Imaging(modality="MR", description="axial", manufacturer="siemens", min_thickness=0.5, has_label=True)
    ),
    "imaging without a label": CohortQuestion(where=Imaging(has_label=False, body_part="BRAIN", max_thickness=1)),
    "sex": CohortQuestion(where=SexIs(any_of=("F", "O"))),
    "ethnicity": CohortQuestion(where=EthnicityIs(codes=B)),
    "age at a condition": CohortQuestion(where=AgeAt(at=CONDITION, min=38, max=45)),
    "age at an image": CohortQuestion(where=AgeAt(at=MR, min=18)),
    "age at the index event": CohortQuestion(index=Index(event=MR, which="last"), where=AgeAt(at=AtIndex(), max=40)),
    "before": CohortQuestion(where=Order(event=CONDITION, when="before", other=MR, min_days=1, max_days=60)),
    "after": CohortQuestion(where=Order(event=Death(), when="after", other=MR, min_days=1)),
    "around": CohortQuestion(where=Order(event=MR, when="around", other=Measurement(codes=B), max_days=11)),
    "twice": CohortQuestion(where=Order(event=MR, when="after", other=MR, min_days=1)),
    "after the index event": CohortQuestion(
        index=Index(event=CONDITION), where=Order(event=MR, when="after", other=AtIndex(), max_days=366)
    ),
    "all": CohortQuestion(where=All(of=(CONDITION, MR, SexIs(any_of=("F",))))),
    "any": CohortQuestion(where=Any_(of=(Death(), All(of=(MR, CONDITION))))),
    "not": CohortQuestion(where=Not(of=SexIs(any_of=("F",)))),
    "a semi-join before a join, used twice": CohortQuestion(
        where=All(of=(Imaging(), All(of=(Death(), Order(event=MR, when="before", other=MR, min_days=1)))))
    ),
    "not, of any": CohortQuestion(where=Not(of=Any_(of=(Death(), MR)))),
}


class Engines(list[BaseBackend]):
    """One for each seed; told in few words where a test fails."""

    def __repr__(self) -> str:
        return f"{self[0].name} of {len(self)} seeds"


class Data(list[Rows]):
    def __repr__(self) -> str:
        return f"{len(self)} seeds"


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(made_up(seed) for seed in SEEDS)


@pytest.fixture(scope="module")
def duckdb(data: Data) -> Iterator[Engines]:
    with ExitStack() as stack:
        yield Engines(stack.enter_context(on_duckdb(rows)) for rows in data)


@pytest.fixture(scope="module")
def postgres(data: Data, postgresql_server: Any) -> Iterator[Engines]:
    with ExitStack() as stack:
        backends = Engines()
        for rows in data:
            database = postgresql.fresh_database(postgresql_server).split("@/")[1].split("?")[0]
            backends.append(stack.enter_context(on_postgresql(rows, postgresql_server, database)))
        yield backends


def agrees(question: CohortQuestion, rows: Rows, backend: BaseBackend) -> int:
    found = compile_question(question, backend).to_pyarrow().column("person_id").to_pylist()
    assert len(found) == len(set(found)), "each person once"
    assert set(found) == evaluation.people(question, rows)
    images = Compilation(question, backend).images().to_pyarrow().column("image_series_uid").to_pylist()
    assert len(images) == len(set(images)), "each image once"
    assert set(images) == evaluation.used_series(question, rows)
    return len(found)


def test_the_examples_have_every_node_of_the_tree() -> None:
    def kinds(union: Any) -> set[type]:
        return set(get_args(get_args(union)[0]))

    there = {type(node) for question in EXAMPLES.values() for node in question.nodes()}
    assert there == kinds(tree.Criterion) | kinds(tree.Event) | kinds(tree.Moment)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_every_node_finds_some_people_and_not_all_on_both_engines(
    name: str, engine: str, data: Data, request: pytest.FixtureRequest
) -> None:
    backends = request.getfixturevalue(engine)
    found = sum(agrees(EXAMPLES[name], data[seed], backends[seed]) for seed in SEEDS[:2])
    assert 0 < found < sum(len(rows["person"]) for rows in data[:2])


@RELAXED
@given(question=questions(), seed=st.sampled_from(SEEDS))
def test_duckdb_finds_whom_the_reference_finds(
    question: CohortQuestion, seed: int, data: Data, duckdb: Engines
) -> None:
    note(question.in_words())
    agrees(question, data[seed], duckdb[seed])


@settings(RELAXED, max_examples=40)
@given(question=questions(), seed=st.sampled_from(SEEDS))
def test_postgresql_finds_whom_the_reference_finds(
    question: CohortQuestion, seed: int, data: Data, postgres: Engines
) -> None:
    note(question.in_words())
    agrees(question, data[seed], postgres[seed])


@settings(RELAXED, max_examples=60)
@given(question=questions(), seed=st.sampled_from(SEEDS))
def test_the_used_images_are_of_people_who_were_found(question: CohortQuestion, seed: int, data: Data) -> None:
    rows = data[seed]
    found = evaluation.people(question, rows)
    used = evaluation.used_series(question, rows)
    assert used <= {row["image_series_uid"] for row in rows["image_occurrence"] if row["person_id"] in found}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def enclave(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('agree') / 'node.db'}"
    if request.param == "postgresql":
        url = postgresql.fresh_database(request.getfixturevalue("postgresql_server"))
    database = Database(url, migrations="wardround.node.migrations")
    database.upgrade()
    in_enclave(database, images_alone(made_up(0)))
    yield database
    database.close()


@settings(RELAXED, max_examples=30)
@given(question=questions(IMAGES))
def test_the_enclave_finds_whom_the_reference_finds_by_images(question: CohortQuestion, enclave: Database) -> None:
    """A node with records and one without tell the same of the same people."""
    note(question.in_words())
    rows = images_alone(made_up(0))
    with enclave.reading() as session:
        found = set(session.scalars(people(question)))
        used = set(session.scalars(select(EnclaveSeries.uid).where(selected(question))))
    assert found == {f"P{person}" for person in evaluation.people(question, rows)}
    assert used == evaluation.used_series(question, rows)
