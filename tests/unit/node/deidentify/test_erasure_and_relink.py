"""The two reasons to open the vault: to say who a result is about, and to take a person out for good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import func, select
from tests.front_door import EVERYONE, SECRET, FrontDoor, edited, studies
from tests.unit.hub.runs.run_lab import project

from wardround.dicom.confidentiality import Profile
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.network_messages import CommitmentRequest
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.errors import NotFound
from wardround.node.audit import Audit
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.deidentify import erasure
from wardround.node.deidentify.erasure import Erasures
from wardround.node.deidentify.received import Places, Received
from wardround.node.deidentify.relink import site_pseudonym
from wardround.node.deidentify.statements import statements
from wardround.node.deidentify.tables import Erasure
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.dicomweb.tables import WebInstance, WebStudy
from wardround.node.enclave.tables import EnclaveInstance, EnclavePatient
from wardround.node.optout.tables import PatientKey
from wardround.node.projects.actions import consider
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.clinical import clinical_studies
from wardround.node.receive.commitment import CommitmentDesk
from wardround.node.receive.commitment_holdings import Holdings
from wardround.node.receive.commitment_store import FOLDER, CommitmentState, CommitmentStore
from wardround.node.receive.tables import CommitmentRow, ReceivedInstance, ReceivedStudy
from wardround.node.retrieve.asks import Ask
from wardround.node.retrieve.sealing import Sealing
from wardround.node.retrieve.states import StudyState
from wardround.node.retrieve.tables import PullItem, PullJob
from wardround.node.training.tables import Judgement
from wardround.node.workitems.tables import Workitem, WorkitemReport, WorkitemSubscription

KEYS = PseudonymKeys(SECRET)
ASKED = project()
WHO = {"actor": "person:Dr Aster", "reason": "asked by the patient"}


class Crash(BaseException):
    """Stands for the process ending here: nothing in the program may catch it."""


@pytest.fixture
def door(tmp_path: Path, database_url: str) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path, url=database_url)
    yield made
    made.close()


def erasures(door: FrontDoor) -> Erasures:
    places = Places(
        door.quarantine, door.clinical, door.home / "results", door.objects, door.home / "enclave" / "volumes"
    )
    return Erasures(door.database, door.vault, places, door.purges, SECRET, door.clock)


def patient_id(number: int) -> str:
    return str(pydicom.dcmread(BytesIO(studies()[number].slices[0])).PatientID)


def pseudonym_of(number: int) -> str:
    return Deidentifier(Profile.research(), SECRET).deidentify(studies()[number].slices[0]).pseudonym


def fill(door: FrontDoor) -> str:
    """Two patients on both paths, one of them with a refused object; the first one's pseudonym."""
    for study in studies():
        door.give_study(study, called="BOTH")
    door.give(edited(studies()[0].slices[0], SOPInstanceUID="1.2.3", BurnedInAnnotation="YES"), called="BOTH")
    door.tick()
    for ref in door.enclave.find(EVERYONE):
        door.enclave.case(ref)
    return pseudonym_of(0)


def test_a_person_leaves_every_place_and_the_other_one_none(door: FrontDoor) -> None:
    pseudonym = fill(door)
    every = erasures(door)
    found = every.find([], patient_id=f" {patient_id(0).lower()} ", **WHO)
    assert found.person.pseudonyms == (pseudonym,)
    assert found.counts == {
        "studies of the enclave": 1,
        "objects of the enclave": 5,
        "studies of frozen cohorts": 0,
        "facts of the vault": 9,
        "quarantined files": 1,
        "clinical files": 6,
        "received instances": 12,
        "results": 0,
        "headers for viewers": 0,
        "asks of pulls": 0,
        "waiting commitments": 0,
    }
    assert door.enclave.totals().patients == 2, "finding takes nothing"
    number = every.order(found, **WHO)
    assert every.finish() == [number]

    assert door.enclave.totals().patients == 1
    assert {ref.pseudonym for ref in door.enclave.find(EVERYONE)} == {pseudonym_of(1)}
    assert len(list(door.objects.digests())) == 5
    assert door.vault.pseudonyms() == {pseudonym_of(1)}
    assert door.quarantined() == []
    [clinical] = clinical_studies(door.database, door.clinical)
    assert len(clinical.files) == 5 and all(file.exists() for file in clinical.files)
    volumes = [file for file in (door.home / "enclave" / "volumes").rglob("*") if file.is_file()]
    assert len(volumes) == 1
    with door.database.reading() as session:
        assert set(session.scalars(select(EnclavePatient.pseudonym))) == door.vault.pseudonyms()
        assert set(session.scalars(select(PatientKey.pseudonym))) == door.vault.pseudonyms()
        assert session.scalar(select(func.count()).select_from(ReceivedInstance)) == 10
        assert session.scalar(select(func.count()).select_from(ReceivedStudy)) == 2
        done = session.get_one(Erasure, number)
        assert done.sealed is None and done.finished_at is not None
        verbs = list(session.scalars(select(Audit.verb).order_by(Audit.id)))
    assert verbs == ["open-vault", "order-erasure", "purge-enclave", "finish-erasure"]
    with pytest.raises(NotFound):
        door.vault.reveal(pseudonym, **WHO)
    assert every.find([], patient_id=patient_id(0), **WHO).nothing


def test_what_the_ward_kept_of_a_person_goes_with_what_was_drawn_and_what_other_systems_were_told(
    door: FrontDoor,
) -> None:
    fill(door)
    results = door.home / "results"
    results.mkdir(exist_ok=True)
    made = KeyMaker(SECRET)
    with door.database.writing() as session:
        used = Deployment(model="a" * 64, package="p", pathway="brain", stage="triage", active=True)
        used.deployed_by, used.deployed_at = "os:test", door.clock()
        session.add(used)
        session.flush()
        for number in (0, 1):
            study = str(pydicom.dcmread(BytesIO(studies()[number].slices[0])).StudyInstanceUID)
            for name in ("result", "correction"):
                (results / f"{name}-{number}.dcm").write_bytes(b"as a person drew it")
            key = made.key("study", study)
            line = WorklistLine(study=key, version=0, deployment=used.id, state="kept", arrived_at=door.clock())
            line.result = f"result-{number}.dcm"
            session.add(line)
            session.flush()
            answer = WorklistAnswer(line=line.id, verb="correct-result", actor="person:r", shown=True, at=door.clock())
            answer.outline = f"correction-{number}.dcm"
            session.add(answer)
            for of, uid in ((line.id, f"2.25.{number}"), (None, f"2.25.1{number}")):
                task = Workitem(uid=uid, study=key, line=of, code="C", scheme="99P", meaning="c", label="c")
                task.priority, task.state, task.made_by = "MEDIUM", "SCHEDULED", "program"
                task.made_at = task.changed_at = door.clock()
                session.add(task)
                session.flush()
                session.add(WorkitemSubscription(workitem=uid, token="t", title="VIEWER", resource=uid))
                report = WorkitemReport(workitem=uid, token="t", title="VIEWER", event=1, said=b"{}", at=door.clock())
                session.add(report)
    every = erasures(door)
    found = every.find([], patient_id=patient_id(0), **WHO)
    assert found.counts["results"] == 2
    every.order(found, **WHO)
    every.finish()
    assert sorted(file.name for file in results.iterdir()) == ["correction-1.dcm", "result-1.dcm"]
    with door.database.reading() as session:
        assert [row.outline for row in session.scalars(select(WorklistAnswer))] == ["correction-1.dcm"]
        for column in (Workitem.uid, WorkitemSubscription.workitem, WorkitemReport.workitem):
            assert set(session.scalars(select(column))) == {"2.25.1", "2.25.11"}


def test_what_a_judgement_kept_of_a_person_goes_and_of_another_stays(door: FrontDoor) -> None:
    pseudonym = fill(door)
    names = KEYS.for_project(ASKED.id)
    gone, stays = names.patient(pseudonym), names.patient(pseudonym_of(1))
    with door.database.writing() as session:
        consider(session, ASKED, at=door.clock())
        for label, dice in (("federated", {gone: 0.5, stays: 0.25}), ("local:north", {stays: 0.75})):
            judged = Judgement(run="glioma-1", label=label, model="a" * 64, training=2, judged_at=door.clock())
            judged.metric, judged.outcomes = "dice", {name: [value] for name, value in dice.items()}
            session.add(judged)
    every = erasures(door)
    every.order(every.find([pseudonym], **WHO), **WHO)
    every.finish()
    with door.database.reading() as session:
        kept = {judged.label: judged.outcomes for judged in session.scalars(select(Judgement))}
    assert kept == {"federated": {stays: [0.25]}, "local:north": {stays: [0.75]}}


def test_it_takes_what_never_reached_the_enclave_and_nobody_of_another_issuer(door: FrontDoor) -> None:
    mine = edited(studies()[0].slices[0], PatientID="77", IssuerOfPatientID="RBH")
    namesake = edited(studies()[1].slices[0], PatientID="77", IssuerOfPatientID="ELSEWHERE")
    door.give(mine, namesake, called="CLINIC")
    every = erasures(door)
    found = every.find([], patient_id="0077", issuer="rbh", **WHO)
    assert found.counts["clinical files"] == 1
    every.order(found, **WHO)
    every.finish()
    [left] = clinical_studies(door.database, door.clinical, complete=None)
    assert str(pydicom.dcmread(left.files[0]).IssuerOfPatientID) == "ELSEWHERE"


def test_research_only_leaves_the_clinical_path_alone(door: FrontDoor) -> None:
    pseudonym = fill(door)
    every = erasures(door)
    every.order(every.find([pseudonym], research_only=True, **WHO), **WHO)
    every.finish()
    assert door.enclave.totals().patients == 1 and pseudonym not in door.vault.pseudonyms()
    assert len(clinical_studies(door.database, door.clinical)) == 2


STEPS = {
    "before anything went": ("erase", False),
    "once the front door is empty": ("erase", True),
    "once the rows of the enclave are gone": ("finish_purges", False),
    "once the objects are gone": ("finish_purges", True),
    "once the vault forgot": ("get_one", False),
}


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_that_was_cut_off_is_finished_after_a_restart(tmp_path: Path, step: str) -> None:
    name, after = STEPS[step]
    door = FrontDoor(tmp_path)
    pseudonym = fill(door)
    every = erasures(door)
    number = every.order(every.find([pseudonym], **WHO), **WHO)
    owner = {"erase": Received, "finish_purges": erasure, "get_one": erasure.Session}[name]
    real = getattr(owner, name)

    def crash(*args: object, **kwargs: object) -> object:
        if after:
            real(*args, **kwargs)
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, crash)
        with pytest.raises(Crash):
            every.finish()
    door.close()

    again = FrontDoor(tmp_path, clock=door.clock)
    assert erasures(again).finish() == [number]
    assert erasures(again).finish() == []
    assert again.enclave.totals().patients == 1
    assert again.vault.pseudonyms() == {pseudonym_of(1)}
    assert again.quarantined() == [] and len(list(again.objects.digests())) == 5
    assert erasures(again).find([pseudonym], patient_id=patient_id(0), **WHO).nothing
    again.close()


def test_the_note_of_an_erasure_tells_nobody_who_it_is_about(door: FrontDoor) -> None:
    pseudonym = fill(door)
    every = erasures(door)
    with pytest.raises(ValueError, match="say why"):
        every.order(every.find([pseudonym], **WHO), actor="person:Dr Aster", reason=" ")
    every.order(every.find([pseudonym], **WHO), **WHO)
    with door.database.reading() as session:
        [row] = session.scalars(select(Erasure))
    assert row.sealed is not None and pseudonym.encode() not in row.sealed
    assert pseudonym not in f"{row.counts}{row.reason}"


def test_what_is_sent_again_after_an_erasure_is_taken_in_anew(door: FrontDoor) -> None:
    pseudonym = fill(door)
    every = erasures(door)
    every.order(every.find([pseudonym], **WHO), **WHO)
    every.finish()
    door.give_study(studies()[0])
    assert door.tick().deidentified == 5
    assert door.enclave.totals().patients == 2 and pseudonym in door.vault.pseudonyms()


def test_a_projects_name_for_somebody_leads_back_to_them(door: FrontDoor) -> None:
    pseudonym = fill(door)
    served = KEYS.for_project("glioma")
    with door.database.reading() as session:
        uid = session.scalar(select(EnclaveInstance.uid).limit(1)) or ""
    [owner] = door.vault.owners([uid])
    projects = ["thorax", "glioma"]
    assert site_pseudonym(door.vault, KEYS, pseudonym, []) == pseudonym
    assert site_pseudonym(door.vault, KEYS, served.patient(pseudonym), projects) == pseudonym
    assert site_pseudonym(door.vault, KEYS, uid, []) == owner
    assert site_pseudonym(door.vault, KEYS, served.uid(uid), projects) == owner
    for stranger in (served.patient(pseudonym), "WR-NOBODY", "2.25.1", "Somebody"):
        with pytest.raises(NotFound):
            site_pseudonym(door.vault, KEYS, stranger, ["thorax"])


def test_a_study_states_how_it_was_made_without_a_value_of_it(door: FrontDoor) -> None:
    fill(door)
    with door.database.reading() as session:
        both = statements(session)
        assert [one.ready for one in both] == [True, True]
        assert statements(session, both[0].study) == both[:1]
        assert statements(session, "1.2.3") == []
    [applied] = both[0].applied
    assert applied["objects"] == 5 and applied["software"].startswith("Wardround ") and applied["counts"]["removed"] > 0


def asked(door: FrontDoor, job: PullJob, line: int, ask: Ask, state: StudyState) -> int:
    item = PullItem(
        job_id=job.id,
        line=line,
        sealed=Sealing(door.home / "pulls.key").seal(ask, job.id, line),
        state=state.value,
        due_at=door.clock(),
        changed_at=door.clock(),
    )
    with door.database.writing() as session:
        session.add(item)
        session.flush()
        return item.id


def test_asks_of_pulls_headers_for_viewers_and_waiting_commitments_go_too(door: FrontDoor) -> None:
    fill(door)
    catalogue = Catalogue(door.database, door.objects)
    catalogue.catch_up()
    store = CommitmentStore(door.database, door.quarantine / FOLDER, door.home / "commitments.key")
    mine, theirs = (pydicom.dcmread(BytesIO(study.slices[0])) for study in studies())
    commitments = [
        store.add(
            CommitmentRequest("PACS", "RESEARCH", "1.2.3", ((ds.SOPClassUID, ds.SOPInstanceUID),), "127.0.0.1"),
            door.clock(),
            due=door.clock(),
        )
        for ds in (mine, theirs)
    ]
    job = PullJob(actor="person:x", path="research", state="running", ordered_at=door.clock())
    with door.database.writing() as session:
        session.add(job)
        session.flush()
        session.expunge(job)
    asks = {
        asked(door, job, 1, Ask(patient_id=str(mine.PatientID)), StudyState.QUEUED): True,
        asked(door, job, 2, Ask(accession=str(mine.AccessionNumber)), StudyState.DONE): True,
        asked(door, job, 3, Ask(study_uid=str(mine.StudyInstanceUID)), StudyState.FAILED): True,
        asked(door, job, 4, Ask(patient_id=str(theirs.PatientID)), StudyState.QUEUED): False,
        asked(door, job, 5, Ask(study_uid=str(theirs.StudyInstanceUID)), StudyState.DONE): False,
    }
    every = erasures(door)
    every = Erasures(
        door.database,
        door.vault,
        every._places,
        door.purges,
        SECRET,
        door.clock,
        pulls=Sealing(door.home / "pulls.key"),
        commitments=store,
    )
    found = every.find([], patient_id=patient_id(0), **WHO)
    told = {kind: found.counts[kind] for kind in ("asks of pulls", "headers for viewers", "waiting commitments")}
    assert told == {"asks of pulls": 3, "headers for viewers": 5, "waiting commitments": 1}
    every.order(found, **WHO)
    every.finish()
    with door.database.reading() as session:
        for number, gone in asks.items():
            item = session.get_one(PullItem, number)
            assert (item.sealed == b"") is gone and not (gone and item.state == "queued")
        assert set(session.scalars(select(WebStudy.patient_id))) == {pseudonym_of(1)}
        assert session.scalar(select(func.count()).select_from(WebInstance)) == 5
        assert session.get_one(CommitmentRow, commitments[0]).reason == "patient-erased"
    assert [one.id for one in store.due(door.clock())] == [commitments[1]]
    assert len(list((door.quarantine / FOLDER).iterdir())) == 1
    assert every.find([], patient_id=patient_id(0), **WHO).nothing


def test_rows_of_commitments_that_ended_are_deleted_in_time(door: FrontDoor) -> None:
    store = CommitmentStore(door.database, door.quarantine / FOLDER, door.home / "commitments.key")
    request = CommitmentRequest("PACS", "RESEARCH", "1.2.3", (("1.2", "1.2.4"),), "127.0.0.1")
    numbers = [store.add(request, door.clock(), due=door.clock()) for _ in range(3)]
    store.finish(numbers[0], CommitmentState.DELIVERED, door.clock())
    store.finish(numbers[1], CommitmentState.GIVEN_UP, door.clock() + timedelta(days=20))
    desk = CommitmentDesk(
        store,
        Holdings(door.database, KeyMaker(SECRET), {}),
        settle=lambda seconds: True,
        requestors={},
        clock=lambda: door.clock() + timedelta(days=31),
    )
    store.postpone(numbers[2], door.clock() + timedelta(days=40), failed_attempt=False)
    desk.tick()
    with door.database.reading() as session:
        assert set(session.scalars(select(CommitmentRow.id))) == set(numbers[1:])
    store.finish(numbers[0], CommitmentState.DELIVERED, door.clock())
