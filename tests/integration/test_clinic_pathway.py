"""The clinical path: a study comes in, its result goes to the PACS marked for what it is, and trouble costs that
study's result at most."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from tests.clinic_lab import Clinic, Prepared, ToyReader, made, result
from tests.front_door import studies

from wardround.compute.worker import Worker, WorkerDied
from wardround.contracts.ledger_entry import Deployment as DeploymentEntry
from wardround.dicom.network import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.learning.archive import pack
from wardround.learning.bundle import BundleRefused, export_bundle, packaged
from wardround.node.clinic import reader
from wardround.node.clinic.definition import Runtime
from wardround.node.clinic.deployment import active
from wardround.node.clinic.states import IN_WORDS, ReadingState
from wardround.node.report.pacs import PACS_PAUSE
from wardround.node.report.sending import LONGEST_PAUSE

ATTEMPTS = Runtime().attempts


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker("reading")
    yield made
    made.stop()


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    """With a reader that answers what a test says."""
    yield from made(tmp_path, package, ToyReader())


class MadeBefore(Prepared):
    """What the first test's reading process made of the model is there for the others."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept

    def submit(self, _step: Any, package: Path, *_: Any) -> Future[None]:
        there = package.with_name(f"{package.name}.openvino")
        if self.kept.exists() and not there.exists():
            shutil.copytree(self.kept, there)
        return super().submit()


@pytest.fixture(scope="module")
def made_before(tmp_path_factory: pytest.TempPathFactory) -> MadeBefore:
    return MadeBefore(tmp_path_factory.mktemp("kept") / "network")


@pytest.fixture
def whole_clinic(
    tmp_path: Path,
    package: tuple[str, bytes],
    worker: Worker,
    made_before: MadeBefore,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Clinic]:
    """With the reading process itself."""
    monkeypatch.setattr("tests.clinic_lab.Prepared", lambda: made_before)
    for clinic in made(tmp_path, package, worker):
        yield clinic
        there = clinic.models / f"{clinic.digest}.openvino"
        if there.exists() and not made_before.kept.exists():
            shutil.copytree(there, made_before.kept)


def test_a_study_is_read_and_its_result_is_in_the_pacs_marked_as_shadow(whole_clinic: Clinic) -> None:
    clinic = whole_clinic
    clinic.register()
    clinic.deploy()
    said = len(clinic.node.wire.sent)
    clinic.arrive()
    clinic.pacs.up()
    clinic.pathway.tick()
    [line] = clinic.lines()
    assert line.state == ReadingState.DELIVERED
    assert line.delivered_at is not None and line.finding
    result = clinic.pacs.taken[0]
    source = pydicom.dcmread(BytesIO(studies(3)[0].slices[0]))
    assert [taken.Modality for taken in clinic.pacs.taken] == ["SEG", "SR", "OT"]
    assert result.SOPInstanceUID == line.result_uid
    assert (result.PatientID, result.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    assert "SHADOW: not for diagnostic use" in str(result)
    assert result.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert clinic.pathway.tick() == 0
    # The clinical path says nothing to the hub: not that a study came, and nothing of it.
    assert clinic.node.wire.sent[said:] == [] and clinic.node.wire.recorded == []
    told = b"".join(message.canonical() for message in clinic.node.wire.sent)
    for secret in (source.PatientID, source.StudyInstanceUID, str(source.PatientName), line.study):
        assert str(secret).encode() not in told


def test_an_earlier_study_is_read_by_the_model_too_and_the_report_names_it(whole_clinic: Clinic) -> None:
    clinic = whole_clinic
    clinic.define(more='[prior]\nmissing = "leave"\n')
    clinic.register()
    clinic.deploy()
    clinic.pacs.up()
    who = {"PatientID": "7", "IssuerOfPatientID": "trust", "PatientBirthDate": "19600101"}
    clinic.arrive(0, StudyDate="20261001", **who)
    clinic.arrive(1, StudyDate="20261101", **who)
    clinic.pathway.tick()
    first, second = clinic.lines()
    assert (first.state, first.reason) == ("out-of-scope", "no-prior") and "366 days" in first.finding
    assert (second.state, second.prior, second.prior_days) == ("delivered", first.study, 31)
    [report] = [taken for taken in clinic.pacs.taken if taken.Modality == "SR"]
    [other] = report.PertinentOtherEvidenceSequence
    assert other.StudyInstanceUID == pydicom.dcmread(BytesIO(studies(3)[0].slices[0])).StudyInstanceUID
    assert "31 days before" in str(report) and second.finding.endswith("31 days before)")


def test_a_study_that_the_model_cant_read_keeps_its_order_and_says_why(whole_clinic: Clinic) -> None:
    clinic = whole_clinic
    clinic.register()
    clinic.deploy()
    clinic.arrive(0, Modality="CT")
    clinic.arrive(1, (0, 1, 3))
    clinic.arrive(2)
    clinic.pathway.tick()
    found = clinic.states()
    assert found[0] == ("elsewhere", ""), "it is none of the pathway's studies"
    assert found[1] == ("failed", "missing-slices")
    assert found[2] == ("read", "")
    assert "normal order" in IN_WORDS[ReadingState.FAILED]


def test_a_reading_process_that_was_killed_is_replaced(whole_clinic: Clinic) -> None:
    clinic = whole_clinic
    clinic.register()
    clinic.deploy()
    clinic.pathway.tick()
    for pid in clinic.worker.process_ids():
        os.kill(pid, signal.SIGKILL)
    clinic.arrive()
    for _ in range(ATTEMPTS):
        clinic.pathway.tick()
    assert clinic.states() == [("read", "")]


def test_results_wait_for_a_pacs_that_is_down(clinic: Clinic) -> None:
    clinic.register()
    clinic.deploy()
    for number in range(2):
        clinic.arrive(number)
    for _ in range(5):
        clinic.pathway.tick()
    assert clinic.states() == [("read", "")] * 2
    assert clinic.lines()[0].finding == "lesion marked, 4.2 ml"
    clinic.pacs.up()
    clinic.node.clock.time += PACS_PAUSE
    assert clinic.pathway.tick() == 2
    assert clinic.states() == [("delivered", "")] * 2
    assert len(clinic.pacs.taken) == 2
    assert len(clinic.worker.reads) == 2, "nothing is read twice for it"


def test_a_pacs_that_refuses_is_asked_again_and_then_said_to(clinic: Clinic) -> None:
    clinic.register()
    clinic.deploy()
    clinic.arrive()
    clinic.pacs.up()
    clinic.pacs.refusing = CANNOT_UNDERSTAND
    for _ in range(ATTEMPTS - 1):
        clinic.pathway.tick()
        assert clinic.states() == [("read", "")]
        clinic.node.clock.time += LONGEST_PAUSE
    clinic.pathway.tick()
    assert clinic.states() == [("failed", "pacs-refused")]


def test_a_result_waits_for_a_pacs_that_has_no_room_for_as_long_as_that_takes(clinic: Clinic) -> None:
    clinic.register()
    clinic.deploy()
    clinic.arrive()
    clinic.pacs.up()
    clinic.pacs.refusing = OUT_OF_RESOURCES
    for _ in range(3 * ATTEMPTS):
        clinic.pathway.tick()
        assert clinic.states() == [("read", "")]
        clinic.node.clock.time += LONGEST_PAUSE
    clinic.pacs.refusing = None
    clinic.pathway.tick()
    assert clinic.states() == [("delivered", "")]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WorkerDied("a test"), "reading-process-died"),
        (FileNotFoundError("purged"), "reading-failed"),
        (pydicom.errors.InvalidDicomError("damaged"), "reading-failed"),
        (AttributeError("SeriesInstanceUID"), "reading-failed"),
    ],
)
def test_a_study_that_breaks_the_reader_is_tried_again_and_holds_up_no_other(
    clinic: Clinic, error: Exception, reason: str
) -> None:
    clinic.register()
    clinic.deploy()
    broken: list[str] = []

    def read(_package: Path, _model: str, _stage: str, files: list[Path], *_: Any) -> reader.Reading:
        broken[:] = broken or [files[0].parent.name]
        if files[0].parent.name == broken[0]:
            raise error
        return reader.Reading(result(), "1.2.3", 0.0)

    clinic.worker.answer = read
    for number in range(2):
        clinic.arrive(number)
    for attempt in range(1, ATTEMPTS + 1):
        clinic.pathway.tick()
        first, second = clinic.states()
        assert second == ("read", "")
        assert first == (("failed", reason) if attempt == ATTEMPTS else ("waiting", ""))
    assert clinic.lines()[1].finding == "no lesion marked"


def test_a_result_that_was_lost_here_holds_up_no_other(clinic: Clinic) -> None:
    clinic.register()
    clinic.deploy()
    clinic.arrive()
    clinic.pathway.tick()
    for file in clinic.results.iterdir():
        file.unlink()
    clinic.pacs.up()
    clinic.node.clock.time += PACS_PAUSE
    clinic.pathway.tick()
    assert clinic.states() == [("failed", "result-lost")]


def test_late_images_have_the_study_read_again(clinic: Clinic) -> None:
    clinic.register()
    clinic.deploy()
    clinic.arrive(0, range(3))
    clinic.pathway.tick()
    clinic.arrive(0, [3])
    clinic.pathway.tick()
    assert [(line.version, line.state) for line in clinic.lines()] == [(0, "read"), (1, "read")]
    assert [len(arguments[3]) for arguments in clinic.worker.reads] == [3, 4]


def test_a_study_that_grew_before_it_was_read_is_read_once_whole(clinic: Clinic) -> None:
    clinic.register()
    clinic.deploy()

    def die(*_: Any) -> reader.Reading:
        raise WorkerDied("a test")

    clinic.worker.answer = die
    clinic.arrive(0, range(3))
    clinic.pathway.tick()
    clinic.worker.answer = ToyReader().answer
    clinic.arrive(0, [3])
    clinic.pathway.tick()
    assert clinic.states() == [("failed", "newer-version"), ("read", "")]


def test_studies_from_before_the_deployment_arent_read(clinic: Clinic) -> None:
    clinic.register()
    clinic.arrive(0)
    assert clinic.pathway.tick() == 0
    clinic.node.clock.time += timedelta(minutes=1)
    clinic.deploy()
    clinic.arrive(1)
    clinic.pathway.tick()
    assert len(clinic.lines()) == 1 and len(clinic.worker.reads) == 1


def test_a_restart_reads_nothing_again(clinic: Clinic) -> None:
    clinic.register()
    clinic.deploy()
    clinic.arrive()
    clinic.pathway.tick()
    clinic.pathway = clinic.make_pathway()
    clinic.pathway.tick()
    assert len(clinic.worker.reads) == 1


def test_a_model_that_the_ledger_doesnt_know_isnt_deployed(clinic: Clinic) -> None:
    with pytest.raises(NotAllowed, match="knows no model"):
        clinic.deploy()
    clinic.node.catch_up()
    with pytest.raises(NotAllowed, match="knows no model"):
        clinic.deploy()
    assert not clinic.models.exists()


def test_a_package_with_another_digest_isnt_deployed(
    clinic: Clinic, package: tuple[str, bytes], tmp_path: Path
) -> None:
    from wardround.learning.segmenter import Segmenter

    export_bundle(Segmenter(packaged()).initial(4), tmp_path / "other", {})
    clinic.register(clinic.hub.objects.put(pack(tmp_path / "other")))
    for _ in range(2):
        with pytest.raises(NotFound, match="another model package"):
            clinic.deploy()
    with clinic.node.database.reading() as session:
        assert active(session) == []
    assert not any(isinstance(entry, DeploymentEntry) for entry in clinic.node.ledger())


def test_what_isnt_a_package_isnt_deployed(clinic: Clinic) -> None:
    clinic.register(clinic.hub.objects.put(b"no archive"))
    with pytest.raises((BundleRefused, NotFound)):
        clinic.deploy()
    assert not clinic.deployments.package(clinic.digest).exists()


def test_a_deployment_is_on_the_ledger_and_replaces_the_one_before(clinic: Clinic) -> None:
    clinic.register()
    first, second = clinic.deploy(), clinic.deploy()
    with clinic.node.database.reading() as session:
        [found] = active(session)
    assert (found.id, found.stage, found.model) == (second, "shadow", clinic.digest) and first != second
    assert not any(isinstance(entry, DeploymentEntry) for entry in clinic.node.ledger()), "the hub wasn't asked"
    clinic.node.entries.submit_waiting(clinic.node.database)
    entries = [entry for entry in clinic.node.ledger() if isinstance(entry, DeploymentEntry)]
    assert [(entry.model, entry.pathway, entry.stage) for entry in entries] == [(clinic.digest, "brain", "shadow")] * 2
