"""A project sees its own pseudonyms and never the enclave's, and nobody who opted out or was purged since."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab, task

from wardround.contracts.task import EvaluateModel
from wardround.foundation.errors import NotFound
from wardround.learning.bundle import packaged, read_bundle
from wardround.node.enclave.purge import purge_patient
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.projects.served import Served, served_by_project, served_cases
from wardround.node.training.assignment import Assignment
from wardround.node.training.cohort import EnclavePlace
from wardround.node.training.learner import Judged
from wardround.node.training.tables import Judgement

ASKED = project()


@pytest.fixture
def agreed(lab: NodeLab) -> NodeLab:
    lab.fill()
    lab.agree(ASKED)
    return lab


def assignment(lab: NodeLab) -> Assignment:
    return lab.assignments.check(ASKED.id, ASKED.content_digest(), "glioma-1")


def people(lab: NodeLab) -> list[str]:
    return [ref.pseudonym for ref in lab.door.enclave.find(ASKED.cohort)]


def test_what_learning_is_given_names_nobody_as_the_enclave_does(agreed: NodeLab) -> None:
    lab = agreed
    pseudonyms = people(lab)
    work = assignment(lab)
    place = EnclavePlace(lab.database.url, lab.door.objects.root, lab.door.home / "volumes")
    cases, unusable = replace(work.cohort, place=place).read(read_bundle(packaged()))
    assert (len(cases), unusable) == (2, 0)
    names = {case.name for case in cases}
    assert names == {served.name for served in work.cohort.cases} and len(names) == 2
    assert not names & set(pseudonyms)
    with lab.database.reading() as session:
        elsewhere, _ = served_cases(session, ASKED.id, lab.assignments._keys)
        assert {served.name for served in elsewhere} == names, "the same each time"
        other = lab.assignments._keys.for_project("another")
    assert not names & {other.patient(pseudonym) for pseudonym in pseudonyms}


def test_what_is_kept_and_told_of_a_judgement_holds_no_pseudonym_of_the_enclave(agreed: NodeLab) -> None:
    lab = agreed
    names = [served.name for served in assignment(lab).cohort.cases]
    lab.worker.lesson = cast(Any, Judged("dice", {names[0]: (0.5,)}, training=1))
    digest = lab.models.put(b"weights")
    work = lab.comparison
    asked: dict[str, Any] = {"project": ASKED.id, "project_digest": ASKED.content_digest(), "run": "glioma-1"}
    with pytest.raises(NotFound, match="no run"):  # this hub never began one; what left is seen all the same
        work.evaluate(EvaluateModel(**asked, model=digest, label="federated"))
    with lab.database.reading() as session:
        [kept] = session.query(Judgement)
    assert [message.kind for message in lab.wire.sent][-1] == "evaluation-result"
    told = "".join(message.model_dump_json() for message in [*lab.wire.sent, *lab.wire.recorded])
    for pseudonym in people(lab):
        assert pseudonym not in kept.outcomes
        assert pseudonym not in told


def test_an_opt_out_and_a_purge_leave_the_next_step_without_them_and_are_counted(
    lab: NodeLab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.fill(4)
    lab.agree(ASKED)
    caplog.set_level("INFO")
    assert len(assignment(lab).cohort.cases) == 4 and not caplog.records
    first, second, *others = people(lab)
    names = lab.assignments._keys.for_project(ASKED.id)
    with lab.database.writing() as session:
        session.add(PatientKey(key="k" * 64, pseudonym=first))
        session.add(OptOut(key="k" * 64, kind="patient", scheme=None, added_at=lab.clock(), added_by="person:ig"))
    left = {case.name for case in assignment(lab).cohort.cases}
    assert left == {names.patient(person) for person in (second, *others)}
    with lab.database.reading() as session:
        assert served_by_project(session) == {ASKED.id: Served(studies=3, opted_out=1, purged=0)}
    with lab.database.writing() as session:
        purge_patient(session, second, lab.door.purges, actor="person:ig", reason="erasure", at=lab.clock())
    lab.participant.take_part(task(ASKED))
    left = {case.name for case in lab.worker.calls[-1][1].cohort.cases}
    assert left == {names.patient(person) for person in others}
    with lab.database.reading() as session:
        assert served_by_project(session) == {ASKED.id: Served(studies=2, opted_out=1, purged=1)}
    told = [record.getMessage() for record in caplog.records if ASKED.id in record.getMessage()]
    assert len(told) == 2 and "1 left out for opt-outs" in told[0] and "1 purged" in told[1]
    assert not any(pseudonym in line for line in told for pseudonym in (first, second))
