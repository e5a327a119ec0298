"""Every way out of results over a real TLS socket: taken where both sides know each other, and waiting where not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.clinic_lab import Clinic, ToyReader, made
from tests.clinic_lab import result as segmentation
from tests.intake_lab import until
from tests.integration.test_findings_to_records import RECORDED, Listening
from tests.integration.test_results_committed import Archive
from tests.tls_lab import Authority, in_front_of

from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network import CommitmentReport, Peer, StorageReceiver, TlsSettings, report_commitment
from wardround.foundation.settings import SettingsRefused
from wardround.node.clinic import reader
from wardround.node.clinic.tables import Deployment
from wardround.node.records.mllp.acknowledgement import Verdict
from wardround.node.report import wiring
from wardround.node.report.document import Document, OutputKind
from wardround.node.report.settings import CommitmentSettings, FhirSettings, Hl7Settings, ReportSettings
from wardround.node.report.shelf import Shelf
from wardround.node.report.tables import Output
from wardround.node.settings import PacsSettings, WireSettings


@dataclass
class Hospital:
    """A clinic with one result of each kind that waits, and the hospital's authority for certificates."""

    clinic: Clinic
    authority: Authority
    stranger: Authority
    node: TlsSettings

    def reports(self, **report: Any) -> wiring.Reports:
        tls = WireSettings(tls_certificate=self.node.certificate, tls_key=self.node.key, tls_trusted=self.node.trusted)
        settings = SimpleNamespace(
            pacs=PacsSettings(host="127.0.0.1", port=self.clinic.pacs.port, ae_title="PACS")
            if "tls" in report
            else None,
            hub=SimpleNamespace(host="hub.example"),
            dicom=SimpleNamespace(ae_title="WARDROUND"),
            wire=tls,
            report=ReportSettings(**report),
        )
        clinic = self.clinic
        home: Any = SimpleNamespace(
            settings=settings, path=clinic.results.parent, database=clinic.node.database, site="guys"
        )
        return wiring.Reports(home, clinic.node.clock)

    def state(self, kind: OutputKind) -> tuple[str, str]:
        with self.clinic.node.database.reading() as session:
            [row] = session.scalars(select(Output).where(Output.kind == kind.value))
            return row.state, row.reason


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, package: tuple[str, bytes]) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("tls")
    reports = (Document(OutputKind.FHIR, RECORDED), Document(OutputKind.HL7, RECORDED))
    authority, stranger = Authority(folder / "ca", "hospital"), Authority(folder / "other", "stranger")
    (folder / "clinic").mkdir()
    for clinic in made(folder / "clinic", package, ToyReader()):
        clinic.worker.answer = lambda *_: reader.Reading(segmentation(), "1.2.3", 4.2, reports=reports)
        clinic.register()
        clinic.deploy()
        clinic.pathway._shelf = Shelf(clinic.results, dict.fromkeys((OutputKind.FHIR, OutputKind.HL7), "second-reader"))
        clinic.pathway.ways = ()
        with clinic.node.database.writing() as session:
            session.execute(update(Deployment).values(stage="primary-reader"))
        clinic.arrive()
        clinic.pathway.tick()
        yield Hospital(clinic, authority, stranger, authority.issue("node"))


def tick(reports: wiring.Reports) -> None:
    """Every way out once, as its loop does."""
    for loop in reports._loops:
        for one in loop._ticks:
            one()


def test_findings_go_to_a_fhir_server_that_shows_and_asks_for_certificates(hospital: Hospital) -> None:
    taken: list[bytes] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ours = {"trusted": hospital.authority.root, "certificate": hospital.node.certificate, "key": hospital.node.key}
    with in_front_of(server.server_port, hospital.authority.issue("fhir")) as port:
        url = f"https://127.0.0.1:{port}/r4"
        for wrong in ({"trusted": hospital.stranger.root}, {"certificate": None, "key": None}):
            tick(hospital.reports(fhir=FhirSettings(url=url, **ours | wrong)))
            assert hospital.state(OutputKind.FHIR) == ("waiting", "fhir-unreachable") and taken == []
            hospital.clinic.node.clock.time += timedelta(minutes=15)
        tick(hospital.reports(fhir=FhirSettings(url=url, **ours)))
    server.shutdown()
    server.server_close()
    assert hospital.state(OutputKind.FHIR) == ("sent", "") and len(taken) == 1


def test_findings_go_to_an_hl7_listener_that_shows_and_asks_for_certificates(hospital: Hospital) -> None:
    listening = Listening()
    listening.verdicts = [Verdict.ACCEPTED]
    known = hospital.node
    with in_front_of(listening.port, hospital.authority.issue("ris")) as port:
        unknown = hospital.stranger.issue("node", trusted=hospital.authority.root)
        distrusting = TlsSettings(known.certificate, known.key, hospital.stranger.root)
        for tls in (unknown, distrusting, known):
            assert listening.taken == []
            settings = Hl7Settings(
                host="127.0.0.1", port=port, trusted=tls.trusted, certificate=tls.certificate, key=tls.key
            )
            tick(hospital.reports(hl7=settings))
            hospital.clinic.node.clock.time += timedelta(minutes=15)
    listening.close()
    assert hospital.state(OutputKind.HL7) == ("sent", "") and len(listening.taken) == 1


def test_results_and_commitment_to_them_travel_in_tls_both_ways(hospital: Hospital) -> None:
    clinic, archive = hospital.clinic, Archive()
    archive.silent = True
    commitment = CommitmentSettings(port=0, tls=True, within_minutes=600)
    pacs = StorageReceiver(
        ["PACS"], clinic.pacs.keep, port=clinic.pacs.port, commitments=archive, tls=hospital.authority.issue("pacs")
    )
    reports = hospital.reports(tls=True, commitment=commitment)
    with pacs:
        reports.start()
        try:
            until(lambda: len(archive.asked) == 1)
            [asked] = archive.asked
            report = CommitmentReport(asked.transaction_uid, asked.instances, ())
            there = Peer("127.0.0.1", reports.port or 0, "WARDREPORT")
            for tls in (None, hospital.stranger.issue("pacs", trusted=hospital.authority.root).client()):
                with pytest.raises((PeerUnreachable, AssociationRefused)):
                    report_commitment(there, "PACS", report, tls=tls)
            assert hospital.state(OutputKind.SEGMENTATION) == ("sent", "")
            report_commitment(there, "PACS", report, tls=hospital.authority.issue("pacs").client())
            assert hospital.state(OutputKind.SEGMENTATION) == ("committed", "")
        finally:
            reports.stop()
    assert [one.SOPInstanceUID for one in clinic.pacs.taken] == ["1.2.3"]


def test_tls_without_its_files_is_refused_before_anything_is_sent(hospital: Hospital) -> None:
    bare = SimpleNamespace(certificate=None, key=None, trusted=None)
    alone = Hospital(hospital.clinic, hospital.authority, hospital.stranger, bare)  # type: ignore[arg-type]
    with pytest.raises(SettingsRefused, match=r"\[report\]: tls = true needs tls_certificate"):
        alone.reports(tls=True)
