"""Counts over the health records: the reference's people and groups, without those who opted out, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from tests import postgresql
from tests.records_lab import Lab
from tests.unit.node.cohort.question_lab import Rows, made_up, questions

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import AgeAt, AtIndex, Code, CodeSet, Imaging, Index, Recorded
from wardround.contracts.task import Axis
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort import breakdown, census, evaluation
from wardround.node.cohort.answering import Found
from wardround.node.cohort.census import Census
from wardround.node.cohort.noise import COUNTED_BELOW, Tally
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.records.schema import TABLES
from wardround.node.records.store import Records
from wardround.node.records.vocabulary import VERSION
from wardround.node.settings import RecordsSettings

AXES: tuple[Axis, ...] = get_args(Axis)
ENCLAVE = Found(Tally(5, 2))
MR = Imaging(modality="MR")
CONDITION = Recorded(kind="condition", codes=CodeSet(concepts=(11,)))
GONE = 13


class Site:
    """One hospital's records, made up; person 13 opted out."""

    def __init__(self, folder: Path, database_url: str = "") -> None:
        self.lab = Lab(folder, database_url)
        # Persons are known by the number that the site's secret gives their pseudonym.
        self.rows = renumbered(made_up(1), self.lab)
        self.asked_otherwise: list[CohortQuestion] = []

        def otherwise(question: CohortQuestion, _by: tuple[Axis, ...]) -> Found:
            self.asked_otherwise.append(question)
            return ENCLAVE

        self.census = Census(self.lab.records, self.lab.database, self.lab.keys, otherwise)

    def fill(self) -> None:
        with self.lab.records.writing() as connection:
            for name, rows in self.rows.items():
                marks = ", ".join("?" for _ in TABLES[name].columns)
                for row in rows:
                    values = [row.get(column) for column in TABLES[name].names]
                    connection.run(f"INSERT INTO {name} VALUES ({marks})", values)  # noqa: S608 - our names
            connection.run("INSERT INTO record_load VALUES (1, 1, now()::TIMESTAMP, 'os:tests', '{}')")
        self.opt_out(GONE)

    def opt_out(self, person: int) -> None:
        with self.lab.database.writing() as session:
            session.add(OptOut(key=f"{person}", kind="local", added_at=datetime(2026, 1, 1, tzinfo=UTC), added_by="us"))
            session.add(PatientKey(key=f"{person}", pseudonym=f"P{person}"))

    def tally(self, people: set[int]) -> Tally:
        """Of those who didn't opt out."""
        words = {row["person_id"]: row["word"] for row in self.rows["person_word"]}
        staying = people - {self.lab.keys.person(f"P{GONE}")}
        return Tally(len(staying), sum(words[person] < COUNTED_BELOW for person in staying))

    def __repr__(self) -> str:
        return "a site"


def renumbered(rows: Rows, lab: Lab) -> Rows:
    """With the number and the word that a load gives each person."""

    def known(name: str, row: dict[str, Any]) -> dict[str, Any]:
        if "person_id" not in row:
            return row
        pseudonym = f"P{row['person_id']}"
        word = {"word": lab.keys.word(pseudonym)} if name == "person_word" else {}
        return row | {"person_id": lab.keys.person(pseudonym)} | word

    return {name: [known(name, row) for row in table] for name, table in rows.items()}


@pytest.fixture(scope="module", params=["duckdb", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    url = ""
    if request.param == "postgresql":
        url = postgresql.fresh_database(request.getfixturevalue("postgresql_server"))
    made = Site(tmp_path_factory.mktemp("census"), url)
    made.fill()
    yield made
    made.lab.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(question=questions(), data=st.data())
def test_people_and_groups_are_the_references_without_those_who_opted_out(
    site: Site, question: CohortQuestion, data: st.DataObject
) -> None:
    note(question.in_words())
    axes = [axis for axis in AXES if axis != "year" or question.index is not None]
    by = tuple(data.draw(st.lists(st.sampled_from(axes), unique=True, max_size=3)))
    with pytest.MonkeyPatch.context() as patch:
        # Whether those who were found are asked about, or looked up among all who opted out.
        patch.setattr(census, "FEW", data.draw(st.sampled_from((0, 6, 2000))))
        found = site.census(question, by)
    assert found.people == site.tally(evaluation.people(question, site.rows))
    assert type(found.people.people) is int and type(found.people.counted) is int, "what an engine sums up too"
    for axis in by:
        wanted = {name: site.tally(people) for name, people in evaluation.groups(question, site.rows, axis).items()}
        assert found.parts[axis] == {name: tally for name, tally in wanted.items() if tally.people}


def test_groups_of_more_values_than_one_number_has_bits_are_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakdown, "BITS", 1)
    question = CohortQuestion(where=Imaging())
    by: tuple[Axis, ...] = ("age", "sex", "modality", "manufacturer")
    found = site.census(question, by)
    for axis in by:
        wanted = {name: site.tally(people) for name, people in evaluation.groups(question, site.rows, axis).items()}
        assert found.parts[axis] == {name: tally for name, tally in wanted.items() if tally.people}
    assert len(found.parts["age"]) > 3 and len(found.parts["modality"]) > 1


def test_the_series_that_a_project_freezes_are_those_of_people_who_stayed(site: Site) -> None:
    question = CohortQuestion(index=Index(event=CONDITION), where=AgeAt(at=MR, min=18))
    gone = {row["image_series_uid"] for row in site.rows["image_occurrence"]
            if row["person_id"] == site.lab.keys.person(f"P{GONE}")}  # fmt: skip
    assert gone
    assert site.census.used_series(question) == evaluation.used_series(question, site.rows) - gone
    assert not gone & (site.census.used_series(CohortQuestion()) or frozenset())


def test_years_are_counted_from_the_index_event_and_never_by_the_calendar(site: Site) -> None:
    question = CohortQuestion(index=Index(event=CONDITION), where=Imaging())
    told = site.census(question, ("year",)).parts["year"]
    assert {"1. year before", "1. year after", "2. year after"} <= set(told)
    assert not any(name[:4].isdigit() for name in told)
    with pytest.raises(NotAllowed) as refused:
        site.census(CohortQuestion(where=MR), ("year",))
    assert refused.value.code == "no-years-here" and "index event" in str(refused.value)


def test_the_same_people_by_another_question_are_the_same_tally(site: Site) -> None:
    one = site.census(CohortQuestion(index=Index(event=MR), where=AgeAt(at=AtIndex(), min=0)), ())
    other = site.census(CohortQuestion(index=Index(event=MR), where=AgeAt(at=AtIndex(), min=0, max=130)), ())
    assert one.people == other.people and one.people.people > 3


UNKNOWN = {
    "concept": CodeSet(concepts=(999,)),
    "code": CodeSet(codes=(Code(vocabulary="SNOMED", code="nonesuch"),)),
}


@pytest.mark.parametrize("codes", UNKNOWN.values(), ids=UNKNOWN)
def test_a_concept_that_the_vocabulary_doesnt_have_is_named_with_its_place(site: Site, codes: CodeSet) -> None:
    with pytest.raises(
        NotAllowed, match=r"where\.codes: .* isn't in the vocabulary of this node; correct the code"
    ) as refused:
        site.census(CohortQuestion(where=Recorded(kind="condition", codes=codes)), ())
    assert refused.value.code == "unknown-concept"


def test_what_a_code_names_is_remembered_until_the_vocabulary_changes(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.fill()
    below = CodeSet(concepts=(11,), descendants=True)
    question = CohortQuestion(where=Recorded(kind="condition", codes=below))
    with site.lab.records.writing() as connection:
        connection.set_mark(VERSION, "1")
    before = site.census(question, ()).people
    assert before == site.census(question, ()).people
    with site.lab.records.writing() as connection:
        connection.run("DELETE FROM concept_ancestor")
        connection.set_mark(VERSION, "2")
    alone = CohortQuestion(where=Recorded(kind="condition", codes=CodeSet(concepts=(11,))))
    after = site.census(question, ()).people
    assert after == site.census(alone, ()).people and after != before
    with site.lab.records.writing() as connection:
        connection.run("DELETE FROM concept WHERE concept_id = 11")
        connection.set_mark(VERSION, "3")
    with pytest.raises(NotAllowed, match="isn't in the vocabulary"):
        site.census(question, ())
    site.lab.close()


def test_a_code_of_a_vocabulary_that_isnt_here_is_looked_for_as_it_was_recorded(site: Site) -> None:
    codes = CodeSet(codes=(Code(vocabulary="LOCAL", code="z"),))
    assert site.census(CohortQuestion(where=Recorded(kind="drug", codes=codes)), ()).people.people > 0


def test_a_node_without_loads_answers_from_its_images(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert site.census(CohortQuestion(where=MR), ()) == ENCLAVE
    assert site.census.used_series(CohortQuestion(where=MR)) is None
    with site.lab.records.writing():
        pass
    assert site.census(CohortQuestion(where=MR), ("sex",)) == ENCLAVE
    assert len(site.asked_otherwise) == 2
    site.lab.close()


def test_while_a_load_is_applied_a_question_is_refused_with_a_code(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.fill()
    census = replace(site.census, records=Records(site.lab.records.folder, patience=0))
    with site.lab.records.writing(), pytest.raises(NotAllowed) as refused:
        census(CohortQuestion(where=MR), ())
    assert refused.value.code == "records-busy"
    assert census(CohortQuestion(where=MR), ()).people.people > 0
    site.lab.close()


def test_records_that_cant_be_read_are_a_code_and_nothing_else(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.fill()
    (tmp_path / "omop" / "records.duckdb").write_bytes(b"not a database" * 1000)
    away = Records(tmp_path, RecordsSettings(database=f"postgresql://nobody@/none?host={tmp_path}"))
    for records in (site.lab.records, away):
        with pytest.raises(NotAllowed) as refused:
            replace(site.census, records=records)(CohortQuestion(where=MR), ())
        assert refused.value.code == "records-unavailable"
        assert str(tmp_path) not in str(refused.value) and "nobody" not in str(refused.value)
    site.lab.close()


def test_a_question_that_needs_too_much_memory_is_refused_with_the_mend(tmp_path: Path) -> None:
    import duckdb

    site = Site(tmp_path)
    site.fill()
    with pytest.raises(NotAllowed, match="`memory_mb`") as refused, site.census._opened():
        raise duckdb.OutOfMemoryException("could not allocate 7 bytes for WR-A in /home")
    assert refused.value.code == "records-memory" and "/home" not in str(refused.value)
    site.lab.close()
