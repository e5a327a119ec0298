"""When a study is complete, what is late, and what the clinical path holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from tests.front_door import EVERYONE, QUIET, FrontDoor, data_set, studies

from wardround.node.audit import Audit
from wardround.node.receive.clinical import clinical_studies, purge_clinical
from wardround.node.receive.completion import SETTLED, complete_studies, next_due
from wardround.node.receive.reception import Answer
from wardround.node.receive.summary import intake_summary
from wardround.node.receive.tables import ReceivedStudy


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def test_a_study_is_complete_once_nothing_came_for_a_while(door: FrontDoor) -> None:
    slices = studies()[0].slices
    door.give(*slices[:2])
    door.clock.time += QUIET - timedelta(seconds=1)
    door.give(slices[2])
    door.clock.time += QUIET - timedelta(seconds=1)
    assert complete_studies(door.database, quiet=QUIET, now=door.clock()) == []
    assert door.deidentification.tick().done == 3
    assert door.enclave.find(EVERYONE) == (), "no cohort sees an open study"
    [study] = door.complete()
    assert (study.instances, study.reopened) == (3, 0)
    assert door.complete() == [], "it is told once"


def test_a_late_instance_opens_its_study_again_and_is_told_apart(door: FrontDoor) -> None:
    slices = studies()[0].slices
    door.give(*slices[:3])
    assert door.tick().deidentified == 3
    door.give(slices[3])
    assert door.deidentification.tick().done == 1
    assert door.enclave.find(EVERYONE) == (), "no cohort sees a study that was opened again"
    [study] = door.complete()
    assert (study.instances, study.reopened) == (4, 1)
    door.deidentification.close_studies()
    assert len(door.enclave.find(EVERYONE)) == 1
    assert intake_summary(door.database).late == 1


def test_the_clinic_gets_studies_as_they_arrived(door: FrontDoor) -> None:
    study = studies()[0]
    door.give_study(study, called="BOTH")
    assert clinical_studies(door.database, door.clinical) == []
    assert len(clinical_studies(door.database, door.clinical, complete=None)) == 1
    assert door.tick().deidentified == 5, "the research path has its own copy"
    [clinical] = clinical_studies(door.database, door.clinical)
    sent = sorted(data_set(part10) for part10 in (*study.slices, study.segmentation))
    assert sorted(data_set(file.read_bytes()) for file in clinical.files) == sent
    assert sorted(len(files) for files in clinical.series.values()) == [1, 4]
    assert (clinical.version, clinical.calling_title) == (0, "PACS")


def test_clinical_studies_go_after_their_days_on_the_record(door: FrontDoor) -> None:
    old, young = studies()
    door.give_study(old, called="CLINIC")
    door.clock.time += timedelta(days=8)
    door.give_study(young, called="CLINIC")
    door.complete()
    limit = door.clock() - timedelta(days=7)
    purged = purge_clinical(door.database, door.clinical, older_than=limit, actor="program", clock=door.clock)
    assert (purged.studies, purged.instances) == (1, 5)
    [left] = clinical_studies(door.database, door.clinical)
    files = sorted(file for file in door.clinical.rglob("*") if file.is_file())
    assert files == sorted(left.files)
    with door.database.reading() as session:
        [row] = session.scalars(select(Audit))
        assert (row.actor, row.verb) == ("program", "purge")
    assert set(door.give(*old.slices, called="CLINIC")) == {Answer.STORED}
    door.complete()
    assert len(clinical_studies(door.database, door.clinical)) == 2, "a purged study may come again"


def state(door: FrontDoor, count: int) -> None:
    with door.database.writing() as session:
        session.execute(update(ReceivedStudy).values(stated=count))


def complete_now(door: FrontDoor) -> int:
    return len(complete_studies(door.database, quiet=QUIET, now=door.clock()))


def test_a_study_is_complete_as_soon_as_all_that_the_pacs_states_is_here(door: FrontDoor) -> None:
    slices = studies()[0].slices
    door.give(*slices[:2])
    state(door, 3)
    door.clock.time += SETTLED
    assert complete_now(door) == 0, "one is missing"
    door.give(slices[2])
    assert complete_now(door) == 0, "it came just now"
    assert next_due(door.database, quiet=QUIET, now=door.clock()) == door.clock() + SETTLED
    door.clock.time += SETTLED
    assert complete_now(door) == 1
    door.give(slices[3])
    assert complete_now(door) == 0, "a late one opens it again"
    door.clock.time += SETTLED
    [study] = complete_studies(door.database, quiet=QUIET, now=door.clock())
    assert (study.instances, study.reopened) == (4, 1)
    assert next_due(door.database, quiet=QUIET, now=door.clock()) is None


def test_a_count_that_is_never_reached_delays_nothing(door: FrontDoor) -> None:
    door.give(*studies()[0].slices)
    state(door, 400)
    door.clock.time += SETTLED
    assert next_due(door.database, quiet=QUIET, now=door.clock()) == door.clock() - SETTLED + QUIET
    [study] = door.complete()
    assert study.instances == 4
    assert intake_summary(door.database).short == 1


def test_each_path_counts_for_itself(door: FrontDoor) -> None:
    first, second, *_ = studies()[0].slices
    door.give(first, second, called="RESEARCH")
    door.give(first, called="CLINIC")
    state(door, 2)
    door.clock.time += SETTLED
    [study] = complete_studies(door.database, quiet=QUIET, now=door.clock())
    assert study.path == "research"
