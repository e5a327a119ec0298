"""A result is the PACS's only once it has committed itself to it; until then it is sent again, and never lost."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from sqlalchemy import select
from tests.clinic_lab import Clinic, ToyReader, made
from tests.clinic_lab import result as segmentation
from tests.front_door import studies
from tests.orthanc import INSTALLED, TITLE, running
from tests.unit.node.report.finding_lab import FINDING

from wardround.dicom.network import CommitmentListener, CommitmentReport, CommitmentRequest, Peer, RefusedStorage, send
from wardround.node.audit import Audit
from wardround.node.clinic import reader
from wardround.node.clinic.retention import Retention
from wardround.node.report.commitment import Commitments, Terms
from wardround.node.report.making import reports_of, sizes
from wardround.node.report.pacs import PACS_PAUSE, PacsDelivery
from wardround.node.report.sending import LONGEST_PAUSE
from wardround.node.report.tables import Output

WITHIN = timedelta(minutes=60)


class Archive:
    """The PACS's side: answers each request as a test says, and reports on the same association or not at all."""

    def __init__(self) -> None:
        self.asked: list[CommitmentRequest] = []
        self.failing = self.silent = False

    def request(self, request: CommitmentRequest) -> CommitmentReport | RefusedStorage | None:
        self.asked.append(request)
        if self.silent:
            return None
        if self.failing:
            failed = tuple((*pair, 0x0112) for pair in request.instances)
            return CommitmentReport(request.transaction_uid, (), failed)
        return CommitmentReport(request.transaction_uid, request.instances, ())

    def delivered(self, request: CommitmentRequest, *, taken: bool) -> None:
        assert taken


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    for one in made(tmp_path, package, ToyReader()):
        one.register()
        one.deploy()
        one.arrive()
        yield one


def commitments(clinic: Clinic, pacs: Peer | None = None) -> Commitments:
    terms = Terms(pacs or clinic.pacs.examiners, "WARDREPORT", WITHIN, audience="examiners")
    return Commitments(clinic.node.database, terms, clinic.node.clock)


def to(clinic: Clinic, pacs: Peer) -> PacsDelivery:
    """The way to a PACS of what is read in shadow use."""
    store = partial(send, to=pacs, calling_ae="WARDROUND")
    return PacsDelivery(clinic.node.database, clinic.results, store, clinic.node.clock, "examiners")


def outputs(clinic: Clinic) -> list[Output]:
    with clinic.node.database.reading() as session:
        return list(session.scalars(select(Output).order_by(Output.id)))


def states(clinic: Clinic) -> list[tuple[str, str]]:
    return [(one.state, one.reason) for one in outputs(clinic)]


def audited(clinic: Clinic) -> list[str]:
    with clinic.node.database.reading() as session:
        return [row.detail for row in session.scalars(select(Audit).order_by(Audit.id)) if row.verb == "commit-output"]


def whole_reading() -> reader.Reading:
    """As the reading process makes it: a segmentation, and the reports on it."""
    slices = [pydicom.dcmread(BytesIO(part10)) for part10 in studies(3)[0].slices]
    mask = np.ones((4, 16, 16), dtype=bool)
    reports = reports_of(slices, mask, segmentation(), replace(FINDING, measurements=sizes(mask, (3.0, 1.0, 1.0))))
    return reader.Reading(segmentation(), "1.2.3", 4.2, reports=reports)


def modalities(port: int) -> set[str]:
    """Of the series that the PACS finds when dcmtk's findscu asks it."""
    study = str(pydicom.dcmread(BytesIO(studies(3)[0].slices[0])).StudyInstanceUID)
    keys = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={study}", "SeriesInstanceUID", "Modality"]
    asked = ["/usr/bin/findscu", "-S", "-aet", "WARDREPORT", "-aec", TITLE, "127.0.0.1", str(port)]
    asked += [part for key in keys for part in ("-k", key)]
    said = subprocess.run(asked, capture_output=True, text=True, check=True, env=os.environ | {"TCP_NODELAY": "1"})
    found = re.findall(r"\(0008,0060\) CS \[(\w+) ?\]", said.stderr + said.stdout)
    return set(found)


@pytest.mark.skipif(not INSTALLED, reason="Debian's orthanc is not installed")
def test_a_real_pacs_commits_itself_on_an_association_of_its_own(clinic: Clinic, tmp_path: Path) -> None:
    reported = threading.Event()
    heard: list[CommitmentReport] = []

    def hear(report: CommitmentReport) -> None:
        asking.taken(report)
        heard.append(report)
        reported.set()

    listener = CommitmentListener("WARDREPORT", [TITLE], hear)
    listener.start()
    with running(tmp_path / "pacs", {"WARDREPORT": listener.port, "WARDROUND": 9}) as orthanc:
        pacs = Peer("127.0.0.1", orthanc.port, TITLE)
        asking = commitments(clinic, pacs)
        clinic.worker.answer = lambda *_: whole_reading()
        clinic.pathway.tick()
        to(clinic, pacs).tick()
        assert states(clinic) == [("sent", "")] * 3
        assert asking.tick() == 3
        assert reported.wait(30)
        assert states(clinic) == [("committed", "")] * 3
        assert asking.tick() == 0
        assert modalities(orthanc.port) == {"SEG", "SR", "OT"}
        there = httpx.post(f"{orthanc.url}/tools/lookup", content=outputs(clinic)[0].sop_instance).json()
        assert [one["Type"] for one in there] == ["Instance"]
        # A report on something else, or once more on this, changes nothing.
        asking.taken(CommitmentReport("1.2.3.4", (), tuple((*pair, 0x0112) for pair in heard[0].done)))
        asking.taken(heard[0])
        assert states(clinic) == [("committed", "")] * 3
    listener.stop()
    assert audited(clinic) == ["seg committed", "sr committed", "capture committed"]


def test_a_pacs_may_commit_itself_on_the_association_of_the_request(clinic: Clinic) -> None:
    archive = Archive()
    clinic.pacs.up(archive)
    clinic.pathway.tick()
    assert commitments(clinic).tick() == 1
    assert states(clinic) == [("committed", "")]
    [request] = archive.asked
    [sent] = clinic.pacs.taken
    assert request.instances == ((sent.SOPClassUID, sent.SOPInstanceUID),)
    assert request.calling_ae == "WARDREPORT"


def test_what_isnt_committed_in_time_is_sent_again_until_it_is(clinic: Clinic) -> None:
    archive = Archive()
    archive.silent = True
    clinic.pacs.up(archive)
    clinic.pathway.tick()
    asking = commitments(clinic)
    asking.tick()
    clinic.node.clock.time += WITHIN - timedelta(seconds=1)
    assert asking.tick() == 0 and clinic.pathway.tick() == 0
    clinic.node.clock.time += timedelta(seconds=1)
    assert asking.tick() == 1
    assert states(clinic) == [("waiting", "commitment-late")]
    late = CommitmentReport(archive.asked[0].transaction_uid, archive.asked[0].instances, ())
    asking.taken(late)
    assert states(clinic) == [("waiting", "commitment-late")], "a report on what isn't waited for any more"
    archive.silent = False
    clinic.node.clock.time += LONGEST_PAUSE
    clinic.pathway.tick()
    assert len(clinic.pacs.taken) == 2 and len(clinic.worker.reads) == 1
    asking.tick()
    assert states(clinic) == [("committed", "")]
    assert clinic.states() == [("delivered", "")]
    assert audited(clinic) == ["seg commitment-late", "seg committed"]


def test_what_the_pacs_says_it_hasnt_is_sent_again_ever_more_seldom(clinic: Clinic) -> None:
    archive = Archive()
    archive.failing = True
    clinic.pacs.up(archive)
    asking = commitments(clinic)
    waits = []
    for _ in range(4):
        clinic.pathway.tick()
        asking.tick()
        assert states(clinic) == [("waiting", "commitment-failed")]
        waits.append(outputs(clinic)[0].due_at - clinic.node.clock.time)
        clinic.node.clock.time += LONGEST_PAUSE
    assert waits == sorted(set(waits))
    assert len(clinic.pacs.taken) == 4


def test_a_pacs_that_is_lost_or_commits_to_nothing_loses_no_result(clinic: Clinic) -> None:
    clinic.pacs.up()
    clinic.pathway.tick()
    asking = commitments(clinic)
    assert asking.tick() == 0, "it offers no storage commitment"
    clinic.pacs.down()
    clinic.node.clock.time += PACS_PAUSE
    assert asking.tick() == 0, "it is away"
    assert states(clinic) == [("sent", "")]
    assert (clinic.results / (outputs(clinic)[0].file or "")).is_file()
    clinic.pacs.up(Archive())
    clinic.node.clock.time += LONGEST_PAUSE
    assert asking.tick() == 1
    assert states(clinic) == [("committed", "")]


def test_a_result_of_a_model_that_was_suspended_meanwhile_isnt_sent_again(clinic: Clinic) -> None:
    archive = Archive()
    archive.failing = True
    clinic.pacs.up(archive)
    clinic.pathway.tick()
    commitments(clinic).tick()
    clinic.suspend()
    clinic.node.clock.time += LONGEST_PAUSE
    to(clinic, clinic.pacs.examiners).tick()
    assert len(clinic.pacs.taken) == 1


def test_results_go_after_their_days_and_what_was_never_sent_is_told(clinic: Clinic) -> None:
    clinic.pathway.tick()
    keep = timedelta(days=14)
    retention = Retention(clinic.node.database, clinic.node.door.clinical, clinic.results, keep, clinic.node.clock)
    clinic.node.clock.time += keep + timedelta(hours=1)
    retention.tick()
    assert list(clinic.results.iterdir()) == []
    with clinic.node.database.reading() as session:
        purged = session.scalars(select(Audit).where(Audit.verb == "purge-results")).one()
    assert purged.detail == "1 results, 1 of them never sent"
    clinic.pacs.up()
    assert clinic.pathway.tick() == 0


def test_a_result_is_whole_dicom(clinic: Clinic) -> None:
    clinic.pathway.tick()
    [output] = outputs(clinic)
    kept = pydicom.dcmread(BytesIO((clinic.results / (output.file or "")).read_bytes()))
    assert (kept.SOPClassUID, kept.SOPInstanceUID) == (output.sop_class, output.sop_instance)
