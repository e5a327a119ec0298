"""An approval of a new edition destroys nothing of the former: its salts prove what was used under it."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab, task

from wardround.contracts.ledger_entry import Manifest
from wardround.contracts.task import EvaluateModel, TrainAlone
from wardround.ledger.commitment import commitment_root
from wardround.node.enclave.purge import purge_patient
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.projects import queries
from wardround.node.projects.served import Served, served_by_project
from wardround.node.projects.states import DecisionState, Facts, state_now
from wardround.node.projects.tables import ManifestRow
from wardround.node.record.studies import study_answer

FIRST = project()
SECOND = project(rounds=3)


def salts(lab: NodeLab, decision: int) -> dict[str, bytes]:
    with lab.database.reading() as session:
        rows = session.query(ManifestRow).filter(ManifestRow.decision == decision)
        return {row.study: row.salt for row in rows if row.removed_at is None}


def manifests(lab: NodeLab) -> list[Manifest]:
    return [entry for entry in lab.ledger() if isinstance(entry, Manifest)]


@pytest.fixture
def twice(lab: NodeLab) -> NodeLab:
    """Two editions approved one after the other, a round of work under each."""
    lab.fill()
    lab.agree(FIRST)
    lab.participant.take_part(task(FIRST))
    lab.consider(SECOND)
    lab.approve("glioma")
    # The hub holds the first edition still; what counts here is the hospital's own record.
    lab.telling._gateway = _deaf(lab)  # type: ignore[assignment]
    lab.telling.tick()
    lab.catch_up()
    lab.participant.take_part(task(SECOND))
    lab.catch_up()
    return lab


def _deaf(lab: NodeLab) -> object:
    class Deaf:
        def send(self, *_: object, **__: object) -> None:
            """Takes any decision."""

    return Deaf()


def test_both_frozen_cohorts_stay_and_are_what_the_ledger_commits_to(twice: NodeLab) -> None:
    lab = twice
    with lab.database.reading() as session:
        first, second = queries.decisions(session, "glioma")
    before, after = salts(lab, first.id), salts(lab, second.id)
    assert before.keys() == after.keys() and len(before) == 2
    assert not set(before.values()) & set(after.values())
    assert [entry.commitment for entry in manifests(lab)] == [commitment_root(before), commitment_root(after)]


def test_the_use_under_either_edition_can_be_proven(twice: NodeLab) -> None:
    lab = twice
    with lab.database.reading() as session:
        [study, _] = [row.study for row in queries.manifest(session, "glioma")]
        answer = study_answer(session, lab.hub.log.verifier, [study])
    assert answer.proof is not None and answer.waiting == ()
    assert len(answer.proof.opened) == 2, "one cohort for each edition"


def test_work_is_served_the_present_cohort_alone(twice: NodeLab) -> None:
    lab = twice
    assert len(lab.worker.calls[-1][1].cohort.cases) == 2
    with lab.database.reading() as session:
        assert served_by_project(session) == {"glioma": Served(studies=2, opted_out=0, purged=0)}


def test_an_erasure_reaches_the_cohorts_of_all_editions(twice: NodeLab) -> None:
    lab = twice
    [somebody, _] = [ref.pseudonym for ref in lab.door.enclave.find(FIRST.cohort)]
    with lab.database.writing() as session:
        purge_patient(session, somebody, lab.door.purges, actor="person:ig", reason="erasure", at=lab.clock())
    with lab.database.reading() as session:
        assert session.query(ManifestRow).filter(ManifestRow.patient == somebody).count() == 0
        assert session.query(ManifestRow).filter(ManifestRow.removed_at.is_not(None)).count() == 2


def test_who_opts_out_in_the_midst_of_a_run_is_left_out_of_its_next_round(lab: NodeLab) -> None:
    lab.fill(3)
    lab.agree(FIRST)
    lab.participant.take_part(task(FIRST))
    assert len(lab.worker.calls[-1][1].cohort.cases) == 3
    somebody = next(ref.pseudonym for ref in lab.door.enclave.find(FIRST.cohort))
    with lab.database.writing() as session:
        session.add(PatientKey(key="k" * 64, pseudonym=somebody))
        session.add(OptOut(key="k" * 64, kind="patient", scheme=None, added_at=lab.clock(), added_by="person:ig"))
    lab.participant.take_part(task(FIRST, round_number=2))
    names = {case.name for case in lab.worker.calls[-1][1].cohort.cases}
    theirs = lab.assignments._keys.for_project("glioma").patient(somebody)
    assert len(names) == 2 and theirs not in names
    work = lab.comparison
    about: dict[str, Any] = {"project": "glioma", "project_digest": FIRST.content_digest(), "run": "glioma-1"}
    for ask in (
        lambda: work.train_alone(TrainAlone(**about, rounds=1)),
        lambda: work.evaluate(EvaluateModel(**about, model=lab.models.put(b"model"), label="federated")),
    ):
        before = len(lab.worker.calls)
        with suppress(Exception):  # this hub began no such run, and the toy judges nothing; what was read is seen
            ask()
        assert len(lab.worker.calls) == before + 1
        assert {case.name for case in lab.worker.calls[-1][1].cohort.cases} == names, "nor of what comes after it"


TODAY = date(2026, 11, 23)
STATES = {
    DecisionState.WAITING: Facts(None, False, TODAY, 1),
    DecisionState.APPROVED: Facts(True, False, TODAY, 2, begun=1),
    DecisionState.RUNNING: Facts(True, False, TODAY, 1, begun=1, open=1),
    DecisionState.FINISHED: Facts(True, False, TODAY, 1, begun=1),
    DecisionState.REFUSED: Facts(False, False, TODAY, 1),
    DecisionState.WITHDRAWN: Facts(True, True, TODAY, 1, begun=1, open=1),
    DecisionState.EXPIRED: Facts(True, False, date(2026, 11, 22), 1, begun=1, open=1),
}


@pytest.mark.parametrize("state", DecisionState)
def test_a_state_follows_from_what_happened_and_the_day(state: DecisionState) -> None:
    assert state_now(STATES[state], TODAY) is state


def test_what_was_withdrawn_stays_so_when_its_day_is_past() -> None:
    assert state_now(STATES[DecisionState.WITHDRAWN], date(2030, 1, 1)) is DecisionState.WITHDRAWN
    assert state_now(STATES[DecisionState.REFUSED], date(2030, 1, 1)) is DecisionState.REFUSED
    assert state_now(STATES[DecisionState.WAITING], date(2030, 1, 1)) is DecisionState.EXPIRED
