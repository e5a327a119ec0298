"""Pulls from a real Orthanc: what is there comes whole, what isn't is named, a crash of either side loses nothing."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import select
from tests import orthanc
from tests.front_door import SECRET, FrontDoor, studies

from wardround.contracts.cohort_builder import imaging, patients
from wardround.demo.patients import StudyInstances
from wardround.dicom.network import Peer, StorageReceiver
from wardround.foundation.clock import now
from wardround.foundation.errors import NotAllowed
from wardround.node.audit import Audit
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.route import StudyPath
from wardround.node.retrieve.actions import cancel, order, pause, resume
from wardround.node.retrieve.arrived import arrived
from wardround.node.retrieve.asks import Ask
from wardround.node.retrieve.hours import Hours
from wardround.node.retrieve.pace import Pace
from wardround.node.retrieve.pacs import Pacs
from wardround.node.retrieve.puller import Puller
from wardround.node.retrieve.report import job, write_report
from wardround.node.retrieve.sealing import Sealing
from wardround.node.retrieve.tables import PullItem

pytestmark = pytest.mark.skipif(not orthanc.INSTALLED, reason="Orthanc isn't installed (Debian: orthanc)")
ACTOR = "operator:engineer"
FAST = {"studies_per_hour": 1e6, "backoff": timedelta(0), "wait": timedelta(seconds=20)}


def labelled(study: StudyInstances, accession: str, patient: str = "") -> list[bytes]:
    objects = []
    for part10 in (*study.slices, study.segmentation):
        ds = pydicom.dcmread(BytesIO(part10))
        ds.AccessionNumber = accession
        ds.StudyDate = "20250310"
        if patient:
            ds.PatientID = patient
        buffer = BytesIO()
        ds.save_as(buffer)
        objects.append(buffer.getvalue())
    return objects


class Hospital:
    """A PACS, a front door that it can send to, and a puller."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.port = orthanc.free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pacs").mkdir()
        self.pacs = orthanc.Orthanc(folder / "pacs", {"RESEARCH": self.port, "CLINIC": self.port}, dict(settings))
        self.pacs.start()
        self.door = FrontDoor(folder)
        self.receiver = StorageReceiver(["RESEARCH", "CLINIC"], landing=self.door.reception, port=self.port)
        self.receiver.start()
        self.sealing = Sealing(folder / "identity" / "pulls.key")

    def puller(self, *, get: bool = False, clock: Callable[[], datetime] = now, **pace: object) -> Puller:
        peer = Peer("127.0.0.1", self.pacs.port, self.pacs.title)
        return Puller(
            self.door.database,
            self.sealing,
            KeyMaker(SECRET),
            Pacs(peer, "RESEARCH", landing=self.door.reception if get else None),
            {"research": "RESEARCH", "clinic": "CLINIC"},
            Pace(**({"hours": Hours()} | FAST | pace)),  # type: ignore[arg-type]
            clock,
        )

    def order(self, *asks: Ask, path: StudyPath = StudyPath.RESEARCH) -> int:
        return order(self.door.database, self.sealing, asks, path, actor=ACTOR)

    def states(self, number: int) -> dict[str, int]:
        return job(self.door.database, number).counts

    def came(self, study: StudyInstances, path: str = "research") -> int:
        uid = str(pydicom.dcmread(BytesIO(study.slices[0])).StudyInstanceUID)
        with self.door.database.reading() as session:
            return arrived(session, path, KeyMaker(SECRET).key("study", uid))

    def audit(self, verb: str) -> list[Audit]:
        with self.door.database.reading() as session:
            return list(session.scalars(select(Audit).where(Audit.verb == verb)))

    def close(self) -> None:
        self.receiver.stop()
        self.door.close()
        self.pacs.kill()


def work(puller: Puller, until: Callable[[], bool], patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while not until():
        assert time.monotonic() < deadline, "the pull did not come that far"
        puller.tick()
        threading.Event().wait(0.02)


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("get", [False, True], ids=["move", "get"])
def test_what_is_there_comes_whole_and_what_is_not_is_named(hospital: Hospital, tmp_path: Path, get: bool) -> None:
    first, second = studies()
    hospital.pacs.take([*labelled(first, "A1"), *labelled(second, "A2")])
    number = hospital.order(Ask(accession="A1"), Ask(accession="NONE"), Ask(accession="A2"))
    puller = hospital.puller(get=get)
    puller.start()
    work(puller, lambda: job(hospital.door.database, number).state == "finished")
    puller.stop()
    assert hospital.states(number) == {"done": 2, "absent": 1}
    assert (hospital.came(first), hospital.came(second)) == (5, 5)

    report = tmp_path / "report.json"
    write_report(hospital.door.database, hospital.sealing, number, report, actor=ACTOR)
    assert report.stat().st_mode & 0o077 == 0
    document = json.loads(report.read_text())
    [missing] = document["not_had"]
    assert (missing["accession"], missing["reason"]) == ("NONE", "not-in-the-pacs")
    assert [row["arrived"] for row in document["studies"]] == [5, 0, 5]
    write_report(hospital.door.database, hospital.sealing, number, tmp_path / "report.csv", actor=ACTOR)
    rows = list(csv.DictReader((tmp_path / "report.csv").open()))
    assert [(row["accession"], row["state"]) for row in rows] == [("A1", "done"), ("NONE", "absent"), ("A2", "done")]

    assert [row.actor for row in hospital.audit("pull")] == [ACTOR]
    assert [row.actor for row in hospital.audit("pull-study")] == [ACTOR, ACTOR]
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("node.db*"))
    uid = str(pydicom.dcmread(BytesIO(first.slices[0])).StudyInstanceUID).encode()
    assert b"NONE" not in kept
    assert uid not in kept


def test_a_patient_with_several_studies_is_pulled_study_by_study(hospital: Hospital) -> None:
    first, second = studies()
    hospital.pacs.take([*labelled(first, "A1", "P7"), *labelled(second, "A2", "P7")])
    number = hospital.order(
        Ask(patient_id="P7", first=date(2025, 1, 1), last=date(2025, 12, 31)), path=StudyPath.CLINIC
    )
    puller = hospital.puller(concurrent=2)
    work(puller, lambda: job(hospital.door.database, number).state == "finished")
    puller.stop()
    assert hospital.states(number) == {"split": 1, "done": 2}
    assert (hospital.came(first, "clinic"), hospital.came(second, "clinic")) == (5, 5)


def test_a_question_is_answered_by_what_the_pacs_can_tell(hospital: Hospital) -> None:
    first, second = studies()
    hospital.pacs.take([*labelled(first, "A1"), *labelled(second, "A2")[:4]])
    asked = patients.with_(imaging(modality="MR", has_label=True)).question()
    number = hospital.order(Ask(question=asked, first=date(2025, 2, 1), last=date(2025, 4, 1)))
    puller = hospital.puller()
    work(puller, lambda: job(hospital.door.database, number).state == "finished")
    puller.stop()
    assert (hospital.came(first), hospital.came(second)) == (5, 0)


def test_a_pacs_that_dies_in_the_middle_costs_nothing_but_time(hospital: Hospital) -> None:
    patients = studies(4)
    for index, study in enumerate(patients):
        hospital.pacs.take(labelled(study, f"A{index}"))
    number = hospital.order(*(Ask(accession=f"A{index}") for index in range(4)))
    puller = hospital.puller()
    work(puller, lambda: hospital.states(number).get("done", 0) >= 1)
    hospital.pacs.kill()
    for _ in range(20):
        puller.tick()
        threading.Event().wait(0.02)
    puller.stop()
    assert hospital.states(number).get("failed", 0) == 0
    hospital.pacs.start()
    again = hospital.puller()
    again.start()
    work(again, lambda: job(hospital.door.database, number).state == "finished")
    again.stop()
    assert hospital.states(number) == {"done": 4}
    assert [hospital.came(study) for study in patients] == [5, 5, 5, 5]


def test_a_title_that_the_pacs_does_not_know_pauses_the_pull_or_fails_it_with_the_mend(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    try:
        hospital.pacs.take(labelled(studies()[0], "A1"))
        number = hospital.order(Ask(accession="A1"))
        puller = hospital.puller(attempts=1)
        puller._studies._titles = {"research": "NOWHERE"}
        work(puller, lambda: job(hospital.door.database, number).state != "running")
        puller.stop()
        view = job(hospital.door.database, number)
        assert view.note == "destination-unknown" or set(view.not_had) <= {"pacs-unable", "some-failed"}
    finally:
        hospital.close()


def test_hours_and_rate_are_kept(hospital: Hospital) -> None:
    for index, study in enumerate(studies(2)):
        hospital.pacs.take(labelled(study, f"A{index}"))
    number = hospital.order(Ask(accession="A0"), Ask(accession="A1"))
    moment = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
    puller = hospital.puller(
        clock=lambda: moment, hours=Hours.parse("20:00-06:00", "UTC"), studies_per_hour=2, concurrent=2
    )
    assert puller.tick() == 0
    assert hospital.states(number) == {"queued": 2}
    moment = datetime(2030, 1, 1, 23, 0, tzinfo=UTC)
    work(puller, lambda: hospital.states(number) == {"done": 1, "found": 1})
    for _ in range(10):
        puller.tick()
    assert hospital.states(number) == {"done": 1, "found": 1}
    moment += timedelta(minutes=30)
    work(puller, lambda: job(hospital.door.database, number).state == "finished")
    puller.stop()


def test_a_pull_can_be_paused_resumed_and_cancelled(hospital: Hospital) -> None:
    database = hospital.door.database
    number = hospital.order(Ask(accession="A1"), Ask(accession="A2"))
    pause(database, number, actor=ACTOR)
    puller = hospital.puller()
    assert puller.tick() == 0
    resume(database, number, actor=ACTOR)
    work(puller, lambda: hospital.states(number).get("absent", 0) == 1)
    assert cancel(database, number, actor=ACTOR) <= 1
    work(puller, lambda: not puller._under_way)
    puller.stop()
    view = job(database, number)
    assert view.state in ("cancelled", "finished")
    assert set(view.counts) <= {"absent", "cancelled"}
    with pytest.raises(NotAllowed):
        resume(database, number, actor=ACTOR)


def test_a_row_that_another_key_sealed_fails_alone(hospital: Hospital) -> None:
    hospital.pacs.take(labelled(studies()[0], "A1"))
    number = hospital.order(Ask(accession="X"), Ask(accession="A1"))
    with hospital.door.database.writing() as session:
        first, second = session.scalars(select(PullItem).order_by(PullItem.line))
        first.sealed = second.sealed
    puller = hospital.puller()
    work(puller, lambda: job(hospital.door.database, number).state == "finished")
    puller.stop()
    assert job(hospital.door.database, number).not_had == {"ask-unreadable": 1}
    assert hospital.states(number)["done"] == 1


def test_a_study_that_brings_the_node_down_each_time_does_so_a_counted_number_of_times(hospital: Hospital) -> None:
    number = hospital.order(Ask(accession="A1"), Ask(accession="A2"))

    def brought_down(state: str) -> None:
        with hospital.door.database.writing() as session:
            session.scalars(select(PullItem).where(PullItem.line == 1)).one().state = state

    for times in range(1, 3):
        brought_down("finding" if times == 1 else "moving")
        hospital.puller(attempts=3).start()
        with hospital.door.database.reading() as session:
            assert [one.attempts for one in session.scalars(select(PullItem).order_by(PullItem.line))] == [times, 0]
    brought_down("moving")
    last = hospital.puller(attempts=3)
    last.start()
    assert job(hospital.door.database, number).not_had == {"node-crashed": 1}
    work(last, lambda: job(hospital.door.database, number).state == "finished")
    last.stop()
    assert hospital.states(number) == {"failed": 1, "absent": 1}
    assert [row.detail for row in hospital.audit("fail-pull-study")] == ["node-crashed", "not-in-the-pacs"]


def test_stopping_the_node_costs_no_try(hospital: Hospital) -> None:
    number = hospital.order(Ask(accession="A1"))
    puller = hospital.puller(attempts=1)
    with hospital.door.database.writing() as session:
        session.scalars(select(PullItem)).one().state = "finding"
    puller.stop()
    assert hospital.states(number) == {"queued": 1}
    hospital.puller(attempts=1).start()
    assert hospital.states(number) == {"queued": 1}
