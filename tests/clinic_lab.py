"""A hospital's clinical path beside a hub: a PACS that comes and goes, and a reader that does what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pydicom
from sqlalchemy import select
from tests.federation_lab import free_ports
from tests.front_door import studies
from tests.unit.hub.runs.run_lab import NOON, RunLab
from tests.unit.node.projects.node_lab import NodeLab, beside_a_hub

from wardround.contracts.evidence import OfflineValidation
from wardround.contracts.ledger_entry import Model
from wardround.dicom.network import (
    Accepted,
    Commitments,
    Peer,
    Received,
    RefusedStorage,
    StorageReceiver,
    send,
    write_part10,
)
from wardround.hub.registry.tables import ModelRow
from wardround.learning.archive import pack
from wardround.learning.bundle import export_bundle, packaged
from wardround.learning.packages import Packages
from wardround.node.clinic import reader
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.deployment import Deployments
from wardround.node.clinic.pathway import Pathway
from wardround.node.clinic.queue import Queue
from wardround.node.clinic.suspension import Suspended, suspend
from wardround.node.clinic.tables import WorklistLine
from wardround.node.evidence.shelf import keep
from wardround.node.report.pacs import PacsDelivery
from wardround.node.report.shelf import Shelf


def untrained(folder: Path) -> tuple[str, bytes]:
    """A model that nobody trained, as the registry keeps it: its digest and its archive."""
    from wardround.learning.segmenter import Segmenter

    digest = export_bundle(Segmenter(packaged()).initial(3), folder, {})
    return digest, pack(folder)


@cache
def result() -> bytes:
    """A result as the reader makes it; its SOP Instance UID is 1.2.3."""
    from wardround.dicom.segmentation import write_segmentation

    slices = [pydicom.dcmread(BytesIO(part10)) for part10 in studies(3)[0].slices]
    mask = np.ones((4, 16, 16), dtype=bool)
    return write_segmentation(slices, mask, model_name="m", model_version="1", sop_instance_uid="1.2.3")


_PATHWAY = """
title = "Lesions"
purpose = "Outlines lesions."
model = "{model}"

[studies]
when = 'Modality == "MR"'
emergency_when = 'StudyDescription like "*stat*"'

[output]
{output}
{more}
"""
OUTLINE = 'kind = "outline"\nof = "lesion"'


class Prepared:
    """The place of the process that makes what a model needs: what it is given to do is done, and wasn't."""

    def submit(self, *_: Any) -> Future[None]:
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def stop(self) -> None:
        pass


class ToyReader:
    """The reading process's place: what `read` does with each study is the test's."""

    def __init__(self) -> None:
        self.reads: list[Any] = []
        self.stopped = False
        self.answer: Callable[..., reader.Reading] = lambda *_: reader.Reading(result(), "1.2.3", 4.2)

    def submit(self, *_: Any) -> Future[None]:
        return Future()

    def stop(self) -> None:
        self.stopped = True

    def call_within(self, _seconds: float, function: Callable[..., Any], *arguments: Any) -> reader.Reading:
        assert function is reader.read
        self.reads.append(arguments)
        return self.answer(*arguments)


class Pacs:
    """A real receiver on one port, which can go and come back."""

    def __init__(self) -> None:
        [self.port] = free_ports(1)
        self.taken: list[pydicom.Dataset] = []
        self.titles: dict[str, str] = {}
        self.refusing: int | None = None
        self._lock = threading.Lock()
        self._receiver: StorageReceiver | None = None

    @property
    def peer(self) -> Peer:
        return Peer("127.0.0.1", self.port, "PACS")

    @property
    def examiners(self) -> Peer:
        return Peer("127.0.0.1", self.port, "EXAMINERS")

    def keep(self, received: Received) -> Accepted | RefusedStorage:
        if self.refusing is not None:
            return RefusedStorage(self.refusing)
        with self._lock:
            taken = pydicom.dcmread(BytesIO(write_part10(received)))
            self.taken.append(taken)
            self.titles[str(taken.SOPInstanceUID)] = received.called_ae
        return Accepted()

    def up(self, commitments: Commitments | None = None) -> None:
        self._receiver = StorageReceiver(["PACS", "EXAMINERS"], self.keep, port=self.port, commitments=commitments)
        self._receiver.start()

    def down(self) -> None:
        if self._receiver is not None:
            self._receiver.stop()
        self._receiver = None


class ReadAndSent(Pathway):
    """The pathway, and the loop that sends what it gave, in one thread: each tick is one of both."""

    def __init__(self, *arguments: Any, ways: Sequence[PacsDelivery]) -> None:
        super().__init__(*arguments)
        self.ways = ways

    def tick(self) -> int:
        return super().tick() + sum(way.tick() for way in self.ways)


class Clinic:
    def __init__(self, folder: Path, hub: RunLab, package: tuple[str, bytes], worker: Any) -> None:
        self.node = NodeLab(folder, hub)
        self.hub, self.digest = hub, package[0]
        self.archive = hub.objects.put(package[1])
        self.models = folder / "models"
        gateway = cast(Any, self.node.wire)
        node = self.node
        self.packages = Packages(folder / "packages")
        self.deployments = Deployments(
            node.database,
            self.models,
            node.entries,
            gateway,
            node.mirror,
            node.own,
            self.packages,
            Definitions(folder / "pathways"),
            node.clock,
            lambda: node.policy,
        )
        self.define()
        self.pacs = Pacs()
        self.worker = worker
        self.results = folder / "results"
        self.pathway = self.make_pathway()

    def define(self, name: str = "brain", *, model: str | None = None, output: str = OUTLINE, more: str = "") -> None:
        """Write a pathway's file, as a person at the hospital does: any MR study, and no check that isn't in `more`."""
        file = self.deployments.definitions.file(name)
        file.parent.mkdir(exist_ok=True)
        digest = self.digest if model is None else model
        file.write_text(_PATHWAY.format(model=digest[:12], output=output, more=more))

    def make_pathway(self) -> Pathway:
        node = self.node
        ways = [
            PacsDelivery(
                node.database, self.results, partial(send, to=peer, calling_ae="WARDROUND"), node.clock, audience
            )
            for peer, audience in ((self.pacs.peer, "ward"), (self.pacs.examiners, "examiners"))
        ]
        return ReadAndSent(
            node.database,
            self.deployments,
            self.worker,
            Prepared(),
            Queue(node.database, node.door.clinical, node.clock),
            Shelf(self.results, examiners=True),
            node.clock,
            ways=ways,
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

    def validate(self) -> None:
        """This hospital judged the model on patients of its own."""
        record = OfflineValidation(
            run="r-1",
            label="federated",
            model=self.digest,
            pathway="brain-mri-glioma",
            metric="dice",
            outcomes={"P1": (0.8,), "P2": (0.7,)},
        )
        with self.node.database.writing() as session:
            keep(session, record, at=self.node.clock(), actor="program", entry=1)

    def deploy(self) -> int:
        self.validate()
        return self.deployments.deploy(self.digest, "brain", actor="person:officer")

    def suspend(self, target: str = "brain", reason: str = "drift") -> Suspended:
        node = self.node
        with node.database.writing() as session:
            return suspend(session, target, reason, node.entries, actor="person:officer", at=node.clock())

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
    with beside_a_hub(folder, lambda place, hub: Clinic(place, hub, package, worker)) as clinic:
        yield clinic
