"""The clinical path: a study comes in, its result goes to the PACS marked for what it is, and trouble costs that
study's result at most."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pydicom
import pytest
from sqlalchemy import select
from tests.federation_lab import free_ports
from tests.front_door import studies
from tests.unit.hub.runs.run_lab import NOON, RunLab
from tests.unit.node.projects.node_lab import NodeLab

from wardround.compute.worker import Worker, WorkerDied
from wardround.contracts.ledger_entry import Deployment as DeploymentEntry
from wardround.contracts.ledger_entry import Model
from wardround.dicom.network import (
    OUT_OF_RESOURCES,
    Accepted,
    Peer,
    Received,
    RefusedStorage,
    StorageReceiver,
    write_part10,
)
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.hub.registry.tables import ModelRow
from wardround.learning.archive import pack
from wardround.learning.bundle import BundleRefused, export_bundle, packaged
from wardround.node.clinic import reader
from wardround.node.clinic.deployment import Deployments, active
from wardround.node.clinic.pathway import ATTEMPTS, PACS_PAUSE, Pathway
from wardround.node.clinic.states import IN_WORDS, ReadingState
from wardround.node.clinic.tables import WorklistLine
from wardround.node.receive.clinical import clinical_studies


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """A model that nobody trained, as the registry keeps it: its digest and its archive."""
    from wardround.learning.segmenter import Segmenter

    folder = tmp_path_factory.mktemp("model") / "bundle"
    digest = export_bundle(Segmenter(packaged()).initial(3), folder, {})
    return digest, pack(folder)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker("reading")
    yield made
    made.stop()


@cache
def result() -> bytes:
    """A result as the reader makes it."""
    from wardround.dicom.segmentation import write_segmentation

    slices = [pydicom.dcmread(BytesIO(part10)) for part10 in studies(3)[0].slices]
    return write_segmentation(slices, np.ones((4, 16, 16), dtype=bool), model_name="m", model_version="1")


class ToyReader:
    """The reading process's place: what `read` does with each study is the test's."""

    def __init__(self) -> None:
        self.reads: list[Any] = []
        self.answer: Callable[..., reader.Reading] = lambda *_: reader.Reading(result(), "1.2.3", 4.2)

    def submit(self, *_: Any) -> Future[None]:
        return Future()

    def call(self, function: Callable[..., Any], *arguments: Any) -> reader.Reading:
        assert function is reader.read
        self.reads.append(arguments)
        return self.answer(*arguments)


class Pacs:
    """A real receiver on one port, which can go and come back."""

    def __init__(self) -> None:
        [self.port] = free_ports(1)
        self.taken: list[pydicom.Dataset] = []
        self.refusing = False
        self._lock = threading.Lock()
        self._receiver: StorageReceiver | None = None

    @property
    def peer(self) -> Peer:
        return Peer("127.0.0.1", self.port, "PACS")

    def keep(self, received: Received) -> Accepted | RefusedStorage:
        if self.refusing:
            return RefusedStorage(OUT_OF_RESOURCES)
        with self._lock:
            self.taken.append(pydicom.dcmread(BytesIO(write_part10(received))))
        return Accepted()

    def up(self) -> None:
        self._receiver = StorageReceiver(["PACS"], self.keep, port=self.port)
        self._receiver.start()

    def down(self) -> None:
        if self._receiver is not None:
            self._receiver.stop()
        self._receiver = None


class Clinic:
    def __init__(self, folder: Path, hub: RunLab, package: tuple[str, bytes], worker: Any) -> None:
        self.node = NodeLab(folder, hub)
        self.hub, self.digest = hub, package[0]
        self.archive = hub.objects.put(package[1])
        self.models = folder / "models"
        gateway = cast(Any, self.node.wire)
        node = self.node
        self.deployments = Deployments(node.database, self.models, node.entries, gateway, node.mirror, node.clock)
        self.pacs = Pacs()
        self.worker = worker
        self.results = folder / "results"
        self.pathway = self.make_pathway()

    def make_pathway(self) -> Pathway:
        node = self.node
        return Pathway(
            node.database,
            self.deployments,
            self.worker,
            lambda: clinical_studies(node.database, node.door.clinical),
            self.results,
            self.pacs.peer,
            "WARDROUND",
            node.clock,
        )

    def register(self, archive: str = "") -> None:
        """The hub registers the model; this site's mirror hears of it."""
        with self.hub.database.writing() as session:
            entry = Model(origin="hub", at=NOON, digest=self.digest, run="r-1", best_round=1, metrics={})
            index = self.hub.log.record(session, entry)
            session.add(
                ModelRow(
                    digest=self.digest,
                    package="brain-mri-glioma",
                    archive=archive or self.archive,
                    weights="b" * 64,
                    run="r-1",
                    round=1,
                    metrics=b"{}",
                    entry=index,
                    registered_at=NOON,
                )
            )
        self.node.catch_up()

    def deploy(self) -> int:
        return self.deployments.deploy(self.digest, "brain", actor="person:officer")

    def arrive(self, number: int = 0, parts: Sequence[int] = range(4), **values: str) -> None:
        for part in parts:
            dataset = pydicom.dcmread(BytesIO(studies(3)[number].slices[part]))
            for keyword, value in values.items():
                setattr(dataset, keyword, value)
            changed = BytesIO()
            dataset.save_as(changed)
            self.node.door.give(changed.getvalue(), called="CLINIC")
        self.node.door.complete()

    def lines(self) -> list[WorklistLine]:
        with self.node.database.reading() as session:
            return list(session.scalars(select(WorklistLine).order_by(WorklistLine.id)))

    def states(self) -> list[tuple[str, str]]:
        return [(line.state, line.reason) for line in self.lines()]

    def close(self) -> None:
        self.pacs.down()
        self.node.close()


def made(folder: Path, package: tuple[str, bytes], worker: Any) -> Iterator[Clinic]:
    for name in ("hub", "node"):
        (folder / name).mkdir()
    hub = RunLab(folder / "hub")
    clinic = Clinic(folder / "node", hub, package, worker)
    yield clinic
    clinic.close()
    hub.close()


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    """With a reader that answers what a test says."""
    yield from made(tmp_path, package, ToyReader())


@pytest.fixture
def whole_clinic(tmp_path: Path, package: tuple[str, bytes], worker: Worker) -> Iterator[Clinic]:
    """With the reading process itself."""
    yield from made(tmp_path, package, worker)


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
    [result] = clinic.pacs.taken
    source = pydicom.dcmread(BytesIO(studies(3)[0].slices[0]))
    assert result.Modality == "SEG"
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


def test_a_study_that_the_model_cant_read_keeps_its_order_and_says_why(whole_clinic: Clinic) -> None:
    clinic = whole_clinic
    clinic.register()
    clinic.deploy()
    clinic.arrive(0, Modality="CT")
    clinic.arrive(1, (0, 1, 3))
    clinic.arrive(2)
    clinic.pathway.tick()
    found = clinic.states()
    assert found[0] == ("failed", "no-mr-series")
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
    clinic.pacs.refusing = True
    for _ in range(ATTEMPTS - 1):
        clinic.pathway.tick()
        assert clinic.states() == [("read", "")]
    clinic.pathway.tick()
    assert clinic.states() == [("failed", "pacs-refused")]


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

    def read(_package: Path, _model: str, _stage: str, files: list[Path], _threads: int) -> reader.Reading:
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
    assert clinic.lines()[1].finding == "nothing marked"


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
    entries = [entry for entry in clinic.node.ledger() if isinstance(entry, DeploymentEntry)]
    assert [(entry.model, entry.pathway, entry.stage) for entry in entries] == [(clinic.digest, "brain", "shadow")] * 2
