"""A look at the records that stays open: quick for who asks again, and in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from wardround.node.cohort.relation import answered, kept, relation
from wardround.node.records.lingering import Lingering
from wardround.node.records.store import Records

LONG = 1000.0


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(tmp_path / "omop", patience=300)
    with made.writing():
        pass
    return made


@pytest.fixture
def lingering(records: Records) -> Iterator[Lingering]:
    made = Lingering(records, LONG)
    yield made
    made.close()


def loads(lingering: Lingering) -> int:
    with lingering.reading() as backend:
        return len(answered(backend, relation(backend, "person")))


def load(records: Records, number: int) -> None:
    with records.writing() as connection:
        connection.run(
            "INSERT INTO person (person_id, gender_concept_id, race_concept_id, ethnicity_concept_id, "
            "person_source_value) VALUES (?, 0, 0, 0, ?)",
            [number, f"WR-{number}"],
        )


def test_a_load_gets_in_after_a_question_and_the_next_question_sees_it(records: Records, lingering: Lingering) -> None:
    for number in range(3):
        assert loads(lingering) == number
        assert loads(lingering) == number
        load(Records(records.folder, patience=300), number)
    assert loads(lingering) == 3


def test_a_load_that_waits_goes_before_every_later_question(records: Records, lingering: Lingering) -> None:
    asked = Event()
    with ThreadPoolExecutor(2) as pool:
        with lingering.reading() as backend:
            written = pool.submit(load, records, 1)
            while not records.is_awaited():
                asked.wait(0.001)
            later = pool.submit(loads, lingering)
            assert answered(backend, relation(backend, "person")) == []
            assert not written.done() and not later.done()
        written.result(300)
        assert later.result(300) == 1


def test_questions_at_once_keep_what_they_found_apart(records: Records, lingering: Lingering) -> None:
    load(records, 7)
    with lingering.reading() as one, lingering.reading() as other:
        everybody, count = kept(one, "found", relation(one, "person").select("person_id"))
        nobody, none = kept(other, "found", relation(other, "person").select("person_id").limit(0))
        assert (count, none) == (1, 0)
        assert (answered(one, everybody), answered(other, nobody)) == ([(7,)], [])


def test_what_went_wrong_for_one_question_is_opened_anew_for_the_next(lingering: Lingering) -> None:
    import duckdb

    with pytest.raises(duckdb.Error), lingering.reading() as before:
        before.con.execute("SELECT no FROM such")
    with lingering.reading() as after:
        assert answered(after, relation(after, "person")) == []


ASKING = """
import sys
from pathlib import Path
from wardround.node.cohort.relation import answered, relation
from wardround.node.records.lingering import Lingering
from wardround.node.records.store import Records
with Lingering(Records(Path(sys.argv[1])), 1000).reading() as backend:
    print(answered(backend, relation(backend, "person")))
"""


def test_a_command_that_asked_ends_at_once_and_says_nothing_of_it(records: Records) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKING, str(records.folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
