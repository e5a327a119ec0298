"""What a stage changes at the point of care: the banner on results, the order of the worklist, and what opens it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.clinic_lab import Clinic, ToyReader, made, result
from tests.unit.node.evidence.test_stage_ladder import HAZARD

from wardround.contracts.model_card import CardText
from wardround.contracts.stage import EVIDENCE
from wardround.node.clinic import reader
from wardround.node.clinic.order import worklist
from wardround.node.clinic.tables import Deployment
from wardround.node.evidence.card import write
from wardround.node.evidence.ladder import Approver, NotYet
from wardround.node.evidence.promotion import agree
from wardround.node.evidence.shadow import shadow_use
from wardround.node.evidence.shelf import keep_and_tell


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    yield from made(tmp_path, package, ToyReader())


def read_as(clinic: Clinic, volume: float) -> None:
    clinic.worker.answer = lambda *_: reader.Reading(result(), "1.2.3", volume)


def promote(clinic: Clinic) -> None:
    node = clinic.node
    with node.database.writing() as session:
        row = session.scalars(select(Deployment)).one()
        record = shadow_use(session, row, until=node.clock())
        # As many studies as a stage asks: these few are read over and over in the test's place.
        record = record.model_copy(update={"studies": EVIDENCE["shadow-use"].fewest})
        keep_and_tell(session, record, "shadow", node.entries, at=node.clock(), actor="person:officer")
        write(session, row.model, CardText(hazards=(HAZARD,)), actor="person:officer", at=node.clock())
    node.entries.submit_waiting(node.database)
    for name, role in (("officer", "safety-officer"), ("lead", "pathway-lead")):
        with node.database.writing() as session:
            row = session.scalars(select(Deployment)).one()
            person = Approver(f"person:{name}", frozenset({role}))
            model = clinic.deployments.model(row)
            agree(session, row, model, "prioritisation", person, node.entries, at=node.clock())


def test_a_model_of_which_nothing_was_shown_here_reads_no_patients_study(clinic: Clinic) -> None:
    clinic.register()
    with pytest.raises(NotYet, match="no offline-validation here"):
        clinic.deployments.deploy(clinic.digest, "brain", actor="person:officer")
    with clinic.node.database.reading() as session:
        assert session.scalars(select(Deployment)).all() == []
    clinic.validate()
    clinic.node.clock.time += timedelta(days=EVIDENCE["offline-validation"].days + 1)
    with pytest.raises(NotYet, match="older than"):
        clinic.deployments.deploy(clinic.digest, "brain", actor="person:officer")


def test_in_shadow_the_worklist_stays_in_order_of_arrival_and_above_it_flagged_studies_come_first(
    clinic: Clinic,
) -> None:
    clinic.register()
    clinic.deploy()
    found = []
    for number, volume in enumerate((0.0, 4.2, 0.0)):
        read_as(clinic, volume)
        clinic.arrive(number)
        clinic.pathway.tick()
        found.append(clinic.lines()[-1].study)
        clinic.node.clock.time += timedelta(minutes=1)
    first, second, third = found

    def listed() -> list[tuple[str, str]]:
        with clinic.node.database.reading() as session:
            return [(place.line.study, place.why) for place in worklist(session, clinic.node.clock())]

    assert listed() == [(first, "arrival"), (second, "arrival"), (third, "arrival")]
    promote(clinic)
    assert listed() == [(second, "flagged"), (first, "arrival"), (third, "arrival")]
    clinic.suspend()
    assert listed() == [(first, "arrival"), (second, "arrival"), (third, "arrival")]


def test_each_result_is_marked_with_the_stage_that_it_was_read_at(clinic: Clinic) -> None:
    stages: list[Any] = []

    def answer(package: Path, model: str, stage: str, *_: Any) -> reader.Reading:
        stages.append(stage)
        return reader.Reading(result(), "1.2.3", 1.0)

    clinic.register()
    clinic.deploy()
    clinic.worker.answer = answer
    clinic.arrive(0)
    clinic.pathway.tick()
    promote(clinic)
    clinic.arrive(1)
    clinic.pathway.tick()
    assert stages == ["shadow", "prioritisation"]


def test_shadow_use_counts_every_arrival_once_and_says_why_some_have_no_result(clinic: Clinic) -> None:
    clinic.register()
    clinic.deploy()
    read_as(clinic, 1.0)
    clinic.arrive(0, (0, 1, 2))
    clinic.node.clock.time += timedelta(seconds=3)
    clinic.pathway.tick()
    clinic.arrive(0, (3,))  # it grew: its last version counts
    clinic.node.clock.time += timedelta(seconds=2)
    clinic.pathway.tick()

    def refuse(*_: Any) -> reader.Reading:
        raise reader.StudyUnreadable("no-mr-series")

    clinic.worker.answer = refuse
    clinic.arrive(1)
    clinic.pathway.tick()
    with clinic.node.database.reading() as session:
        record = shadow_use(session, session.scalars(select(Deployment)).one(), until=clinic.node.clock())
    assert (record.studies, record.read, record.failed, record.out_of_scope) == (2, 1, {"no-mr-series": 1}, 1)
    assert record.seconds_p50 is not None and record.seconds_p50 >= 2
