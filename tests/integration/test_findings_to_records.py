"""Findings reach the hospital's records once a model's stage lets them: each until it is taken, and never the hub."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import select, update
from tests.clinic_lab import Clinic, ToyReader, made
from tests.clinic_lab import result as segmentation
from tests.intake_lab import until
from tests.unit.node.report.finding_lab import RECORD

from wardround.node.clinic import reader
from wardround.node.clinic.tables import Deployment
from wardround.node.records.hl7.er7 import parse
from wardround.node.records.mllp.acknowledgement import Verdict, acknowledgement
from wardround.node.records.mllp.framing import Unframer, framed
from wardround.node.report import wiring
from wardround.node.report.document import Document, OutputKind
from wardround.node.report.fhir_delivery import FhirDelivery
from wardround.node.report.hl7_delivery import Hl7Delivery, Listener
from wardround.node.report.oru import Addressing
from wardround.node.report.record import to_bytes
from wardround.node.report.sending import LONGEST_PAUSE
from wardround.node.report.settings import FhirSettings, Hl7Settings, ReportSettings
from wardround.node.report.shelf import Shelf
from wardround.node.report.states import OutputState
from wardround.node.report.tables import Output

RECORDED = to_bytes(RECORD)


class Listening:
    """The hospital's listener: answers each message by the next verdict of a test's; closes where there is none."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.verdicts: list[Verdict | None] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                unframer = Unframer(1 << 20)
                while (message := unframer.next()) is None:
                    unframer.feed(connection.recv(65536))
                self.taken.append(message)
                verdict = self.verdicts.pop(0) if self.verdicts else None
                if verdict is not None:
                    at = RECORD.finding.at
                    connection.sendall(framed(acknowledgement(verdict, parse(message), site="ris", at=at)))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    """One study is read by a model at second reader."""
    reports = (Document(OutputKind.FHIR, RECORDED), Document(OutputKind.HL7, RECORDED))
    for one in made(tmp_path, package, ToyReader()):
        one.worker.answer = lambda *_: reader.Reading(segmentation(), "1.2.3", 4.2, reports=reports)
        one.register()
        one.deploy()
        yield one


def read_at(clinic: Clinic, stage: str) -> None:
    shelf = Shelf(clinic.results, {OutputKind.FHIR: "second-reader", OutputKind.HL7: "second-reader"}, examiners=True)
    clinic.pathway._shelf = shelf
    with clinic.node.database.writing() as session:
        session.execute(update(Deployment).values(stage=stage))
    clinic.arrive()
    clinic.pathway.tick()


def states(clinic: Clinic, kind: OutputKind) -> list[tuple[str, str]]:
    with clinic.node.database.reading() as session:
        rows = session.scalars(select(Output).where(Output.kind == kind.value))
        return [(row.state, row.reason) for row in rows]


def hl7(clinic: Clinic, port: int) -> Hl7Delivery:
    return Hl7Delivery(
        clinic.node.database,
        clinic.results,
        clinic.node.clock,
        listener=Listener("127.0.0.1", port, seconds=10),
        addressing=Addressing("guys"),
    )


def test_a_message_is_sent_until_it_is_accepted_and_then_no_more(clinic: Clinic) -> None:
    read_at(clinic, "primary-reader")
    listening = Listening()
    listening.verdicts = [Verdict.ERROR, Verdict.REJECTED, None, Verdict.ACCEPTED]
    sending = hl7(clinic, listening.port)
    reasons = []
    for _ in range(4):
        sending.tick()
        [(state, reason)] = states(clinic, OutputKind.HL7)
        reasons.append((state, reason))
        clinic.node.clock.time += LONGEST_PAUSE
    assert reasons == [
        (OutputState.WAITING, "hl7-not-accepted"),
        (OutputState.WAITING, "hl7-not-accepted"),
        (OutputState.WAITING, "hl7-unreachable"),
        (OutputState.SENT, ""),
    ]
    assert sending.tick() == 0 and len(listening.taken) == 4
    assert len({parse(message).control_id for message in listening.taken}) == 1
    listening.close()
    assert hl7(clinic, listening.port).tick() == 0


@pytest.mark.parametrize("stage", ["shadow", "prioritisation"])
def test_what_counts_for_no_diagnosis_goes_into_no_record(clinic: Clinic, stage: str) -> None:
    read_at(clinic, stage)
    assert states(clinic, OutputKind.HL7) == states(clinic, OutputKind.FHIR) == []


def test_a_bundle_is_written_to_a_folder_whole(clinic: Clinic, tmp_path: Path) -> None:
    read_at(clinic, "primary-reader")
    node, folder = clinic.node, tmp_path / "fhir"
    delivery = FhirDelivery(node.database, clinic.results, node.clock, patient_system="urn:x", to=folder)
    assert delivery.tick() == 1 and delivery.tick() == 0
    [file] = folder.iterdir()
    assert json.loads(file.read_bytes())["type"] == "transaction"
    assert states(clinic, OutputKind.FHIR) == [(OutputState.SENT, "")]


def test_a_server_that_is_away_is_tried_and_one_that_refuses_is_left(clinic: Clinic) -> None:
    read_at(clinic, "primary-reader")
    node = clinic.node
    answers: list[int | None] = [None, 503, 429, 422]
    posted: list[bytes] = []

    def post(data: bytes) -> int:
        posted.append(data)
        answer = answers.pop(0)
        if answer is None:
            raise httpx.ConnectError("away")
        return answer

    delivery = FhirDelivery(node.database, clinic.results, node.clock, patient_system="urn:x", to=post)
    said = []
    while answers:
        delivery.tick()
        said += states(clinic, OutputKind.FHIR)
        node.clock.time += LONGEST_PAUSE
    assert [reason for _, reason in said] == ["fhir-unreachable", "fhir-busy", "fhir-busy", "fhir-refused"]
    assert said[-1][0] == OutputState.REFUSED and len(set(posted)) == 1


def test_a_server_that_is_away_is_asked_once_at_a_time_however_much_waits(clinic: Clinic) -> None:
    read_at(clinic, "primary-reader")
    clinic.arrive(1)
    clinic.pathway.tick()
    posted: list[bytes] = []

    def post(data: bytes) -> int:
        posted.append(data)
        raise httpx.ReadTimeout("no answer")

    node = clinic.node
    delivery = FhirDelivery(node.database, clinic.results, node.clock, patient_system="urn:x", to=post)
    assert delivery.tick() == 0 and len(posted) == 1
    assert states(clinic, OutputKind.FHIR) == [(OutputState.WAITING, "fhir-unreachable"), (OutputState.WAITING, "")]


def test_a_server_that_never_answers_holds_up_no_other_way(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "SECONDS", 600)
    read_at(clinic, "primary-reader")
    listening, silent = Listening(), socket.create_server(("127.0.0.1", 0))
    listening.verdicts = [Verdict.ACCEPTED]
    report = ReportSettings(
        fhir=FhirSettings(url=f"http://127.0.0.1:{silent.getsockname()[1]}"),
        hl7=Hl7Settings(host="127.0.0.1", port=listening.port),
    )
    own, hub = SimpleNamespace(ae_title="NODE"), SimpleNamespace(host="hub.example")
    settings = SimpleNamespace(pacs=None, dicom=own, hub=hub, report=report)
    node, path = clinic.node, clinic.results.parent
    home: Any = SimpleNamespace(settings=settings, path=path, database=node.database, site="guys")
    reports = wiring.Reports(home, node.clock)
    reports.start()
    try:
        until(lambda: states(clinic, OutputKind.HL7) == [(OutputState.SENT, "")])
        assert states(clinic, OutputKind.FHIR) == [(OutputState.WAITING, "")]
    finally:
        silent.close()
        reports.stop()
        listening.close()


def test_nothing_is_sent_of_a_model_that_was_suspended(clinic: Clinic) -> None:
    read_at(clinic, "primary-reader")
    clinic.suspend()
    clinic.node.clock.time += timedelta(minutes=1)
    listening = Listening()
    assert hl7(clinic, listening.port).tick() == 0 and listening.taken == []
    listening.close()


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"url": "http://fhir.example/r4"}, "https"),
        ({}, "one of them"),
        ({"url": "https://x", "folder": "y"}, "one of them"),
        ({"url": "https://x", "certificate": "c.pem"}, "together"),
        ({"url": "https://x", "from_stage": "shadow"}, "from_stage"),
    ],
)
def test_a_setting_that_would_leak_is_refused(settings: dict[str, str], mend: str) -> None:
    with pytest.raises(ValidationError, match=mend):
        FhirSettings.model_validate(settings)


def test_half_of_tls_is_refused() -> None:
    with pytest.raises(ValidationError, match="all of"):
        Hl7Settings.model_validate({"host": "ris", "port": 2575, "trusted": "ca.pem"})
