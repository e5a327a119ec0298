"""What a Storage SCP has to do, shown for ours and for pynetdicom's, by senders of two other makings."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless
from pynetdicom import AE, build_context
from pynetdicom.sop_class import CTImageStorage, MRImageStorage
from tests.pynetdicom_receiver import PynetdicomReceiver

from wardround.dicom.header_meta import file_meta, read_file_meta
from wardround.dicom.network import Accepted, Peer, Received, Receiver, RefusedStorage, StorageReceiver, send
from wardround.dicom.network_peer import association

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
MR = str(MRImageStorage)
BIN = Path("/usr/bin")
ENVIRONMENT = dict(os.environ, TCP_NODELAY="1")

pytestmark = pytest.mark.skipif(not (BIN / "storescu").exists(), reason="dcmtk isn't installed")


class Shelf:
    def __init__(self) -> None:
        self.received: dict[str, Received] = {}
        self.answers: dict[str, RefusedStorage | OSError] = {}
        self.lock = threading.Lock()

    def __call__(self, received: Received) -> Accepted | RefusedStorage:
        answer = self.answers.get(received.sop_instance_uid)
        if isinstance(answer, OSError):
            raise answer
        if answer is not None:
            return answer
        with self.lock:
            self.received[received.sop_instance_uid] = received
        return Accepted()


Make = Callable[..., Receiver]


@pytest.fixture(params=[StorageReceiver, PynetdicomReceiver], ids=["ours", "pynetdicom"])
def make(request: pytest.FixtureRequest) -> Make:
    chosen: Make = request.param
    return chosen


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def receiver(make: Make, shelf: Shelf) -> Iterator[Receiver]:
    with make(["RESEARCH", "CLINIC"], shelf, calling_ae_titles=["STORESCU", "ECHOSCU", "OTHER"]) as running:
        yield running


def instance(number: int, syntax: str = EXPLICIT) -> bytes:
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = MR, f"1.2.999.5.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.999.1", "1.2.999.2"
    dataset.PatientID, dataset.EncapsulatedDocument = "4711", b"xy" * (number * 25_000)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=syntax == IMPLICIT, little_endian=True, force_encoding=True)
    return file_meta(MR, dataset.SOPInstanceUID, syntax) + buffer.getvalue()


def to(receiver: Receiver) -> Peer:
    return Peer("127.0.0.1", receiver.port, "RESEARCH")


def run(tool: str, *arguments: str) -> int:
    command = [str(BIN / tool), *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=60, check=False).returncode


def files(folder: Path, *objects: bytes) -> list[str]:
    for number, data in enumerate(objects):
        (folder / f"{number}.dcm").write_bytes(data)
    return [str(path) for path in sorted(folder.iterdir())]


def data_set(part10: bytes) -> bytes:
    return part10[read_file_meta(part10)[1] :]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("options", [["-R"], ["--max-send-pdu", "4096"], ["--max-pdu", "4096"]])
def test_storescu_stores_byte_for_byte(
    receiver: Receiver, shelf: Shelf, tmp_path: Path, syntax: str, options: list[str]
) -> None:
    sent = [instance(number, syntax) for number in range(1, 8)]
    propose = "-xi" if syntax == IMPLICIT else "-xe"
    address = ["-aec", "CLINIC", "127.0.0.1", str(receiver.port)]
    assert run("storescu", propose, *options, *address, *files(tmp_path, *sent)) == 0
    assert [received.dataset_bytes for received in shelf.received.values()] == [data_set(one) for one in sent]
    assert {received.transfer_syntax_uid for received in shelf.received.values()} == {syntax}
    assert {received.calling_ae for received in shelf.received.values()} == {"STORESCU"}


def test_echoscu_is_answered_or_told_why_not(receiver: Receiver) -> None:
    port = str(receiver.port)
    assert run("echoscu", "--repeat", "3", "-aec", "RESEARCH", "127.0.0.1", port) == 0
    assert run("echoscu", "-aec", "NOBODY", "127.0.0.1", port) != 0
    assert run("echoscu", "-aet", "STRANGER", "-aec", "RESEARCH", "127.0.0.1", port) != 0
    assert run("echoscu", "--abort", "-aec", "RESEARCH", "127.0.0.1", port) == 0
    assert run("echoscu", "-aec", "RESEARCH", "127.0.0.1", port) == 0


def test_what_the_sink_refuses_the_sender_hears(receiver: Receiver, shelf: Shelf) -> None:
    shelf.answers = {
        "1.2.999.5.1": RefusedStorage(0xA900),
        "1.2.999.5.2": OSError("full"),
        "1.2.999.5.3": RefusedStorage(),
    }
    report = send([instance(number) for number in range(1, 5)], to(receiver), "OTHER")
    assert [refused.status for refused in report.refused] == [0xA900, 0xA700, 0xC000]
    assert list(shelf.received) == ["1.2.999.5.4"]


def test_pynetdicom_sends_in_every_syntax_and_aborts_and_comes_again(receiver: Receiver, shelf: Shelf) -> None:
    contexts = [(MR, IMPLICIT), (str(CTImageStorage), str(JPEG2000Lossless)), (MR, EXPLICIT)]
    for number in (1, 2):
        with association(to(receiver), "OTHER", contexts) as made:
            assert len(made.accepted_contexts) == 3
            made.abort()
        assert send([instance(number, IMPLICIT)], to(receiver), "OTHER").complete
    assert list(shelf.received) == ["1.2.999.5.1", "1.2.999.5.2"]


def test_none_of_the_contexts_is_an_answer_too(receiver: Receiver) -> None:
    entity = AE("OTHER")
    made = entity.associate(
        "127.0.0.1", receiver.port, ae_title="RESEARCH", contexts=[build_context("1.2.840.10008.5.1.4.1.2.2.1")]
    )
    assert not made.is_established
    assert not made.is_rejected
    assert [context.result for context in made.rejected_contexts] == [3]


def test_many_senders_at_once_lose_nothing(receiver: Receiver, shelf: Shelf, tmp_path: Path) -> None:
    senders = []
    for sender in range(4):
        folder = tmp_path / str(sender)
        folder.mkdir()
        names = files(folder, *(instance(number) for number in range(sender * 3 + 1, sender * 3 + 4)))
        command = [str(BIN / "storescu"), "-R", "-aec", "CLINIC", "127.0.0.1", str(receiver.port), *names]
        senders.append(subprocess.Popen(command, env=ENVIRONMENT))
    assert [sender.wait(timeout=60) for sender in senders] == [0] * 4
    assert set(shelf.received) == {f"1.2.999.5.{number}" for number in range(1, 13)}
