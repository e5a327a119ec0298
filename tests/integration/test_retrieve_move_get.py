"""C-MOVE to our own receiver and C-GET into it, from a real Orthanc."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from tests import orthanc
from tests.front_door import FrontDoor, studies

from wardround.dicom.network import Accepted, Peer, Received, RefusedStorage, StorageReceiver, WholeObjects
from wardround.dicom.network_query import instances_at, series_at, studies_at
from wardround.dicom.network_query_status import QueryFailed
from wardround.dicom.network_retrieve import get, move
from wardround.node.receive.clinical import clinical_studies

pytestmark = pytest.mark.skipif(not orthanc.INSTALLED, reason="Orthanc isn't installed (Debian: orthanc)")
RECEIVER = orthanc.free_port()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    titles = {"CLINIC": RECEIVER, "SILENT": orthanc.free_port()}
    with orthanc.running(tmp_path_factory.mktemp("pacs"), titles) as started:
        for study in studies(2):
            started.take([*study.slices, study.segmentation])
        yield started


@pytest.fixture
def peer(pacs: orthanc.Orthanc) -> Peer:
    return Peer("127.0.0.1", pacs.port, pacs.title)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


def patients() -> list[str]:
    return [str(pydicom.dcmread(BytesIO(study.slices[0])).PatientID) for study in studies(2)]


def test_a_moved_study_is_behind_the_front_door_whole(door: FrontDoor, peer: Peer) -> None:
    [study] = studies_at(peer, "CLINIC", patient_id=patients()[0])
    with StorageReceiver(["CLINIC"], landing=door.reception, port=RECEIVER):
        moved = move(peer, "CLINIC", study.study_uid, "CLINIC")
    assert (moved.status, moved.failed) == (0, 0)
    assert door.reception.settle(30)
    [here] = clinical_studies(door.database, door.clinical, complete=False)
    assert len(here.files) == study.instances == 5


def test_a_study_got_is_byte_for_byte_what_was_sent(door: FrontDoor, peer: Peer) -> None:
    [study] = studies_at(peer, "CLINIC", patient_id=patients()[1])
    classes = {
        instance.sop_class
        for series in series_at(peer, "CLINIC", study.study_uid)
        for instance in instances_at(peer, "CLINIC", study.study_uid, series.series_uid)
    }
    landing = door.reception
    got = get(peer, "CLINIC", study.study_uid, landing, called_ae="CLINIC", sop_classes=sorted(classes))
    assert (got.status, got.completed, got.failed) == (0, 5, 0)
    assert door.reception.settle(30)
    [here] = clinical_studies(door.database, door.clinical, complete=False)
    original = studies(2)[1]
    assert sorted(file.read_bytes()[-200:] for file in here.files) == sorted(
        part10[-200:] for part10 in (*original.slices, original.segmentation)
    )


def test_what_we_do_not_take_is_counted_as_failed(peer: Peer) -> None:
    [study] = studies_at(peer, "CLINIC", patient_id=patients()[1])
    taken: list[Received] = []

    def two_only(received: Received) -> Accepted | RefusedStorage:
        if len(taken) == 2:
            return RefusedStorage(0xA700)
        taken.append(received)
        return Accepted()

    try:
        got = get(peer, "CLINIC", study.study_uid, WholeObjects(two_only), called_ae="CLINIC")
    except QueryFailed as failed:
        assert failed.again
    else:
        assert got.completed < 5
        assert got.failed > 0


def test_a_destination_that_nobody_answers_at_is_a_failure(peer: Peer) -> None:
    [study] = studies_at(peer, "CLINIC", patient_id=patients()[0])
    for destination in ("SILENT", "UNKNOWN"):
        try:
            moved = move(peer, "CLINIC", study.study_uid, destination)
        except QueryFailed as failed:
            assert failed.status is not None
        else:
            assert moved.failed == 5
