"""C-STORE and C-ECHO against ourselves and against dcmtk, over loopback."""

import io
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pynetdicom.acse import ACSE

from wardround.dicom.errors import AssociationRefused, PeerUnreachable, Refused
from wardround.dicom.header_meta import file_meta, read_file_meta
from wardround.dicom.network import (
    OUT_OF_RESOURCES,
    Accepted,
    Peer,
    Received,
    Receiver,
    RefusedStorage,
    StorageReceiver,
    echo,
    send,
    write_part10,
)

MR = "1.2.840.10008.5.1.4.1.1.4"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT, BIG, J2K = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.90",
)
BIN = Path("/usr/bin")
ENVIRONMENT = dict(os.environ, TCP_NODELAY="1")
dcmtk = pytest.mark.skipif(
    not all((BIN / tool).exists() for tool in ("echoscu", "storescu", "storescp")), reason="dcmtk isn't installed"
)


def instance(number: int, sop_class: str = MR, transfer_syntax: str = EXPLICIT) -> bytes:
    """A small object that any reader understands, whose data set is odd enough to show re-encoding."""
    uid = f"1.2.999.5.{number}"
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.PatientName, dataset.PatientID = "Penhallow^Jago", "4711"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.999.1", "1.2.999.2"
    dataset.ImageComments = "x" * min(number * 1000, 9000)
    dataset.add_new(0x00091001, "UN", b"\1\2\3\4")
    buffer = io.BytesIO()
    pydicom.dcmwrite(
        buffer,
        dataset,
        implicit_vr=transfer_syntax == IMPLICIT,
        little_endian=transfer_syntax != BIG,
        force_encoding=True,
    )
    return file_meta(sop_class, uid, transfer_syntax) + buffer.getvalue()


def body(part10: bytes) -> bytes:
    return part10[read_file_meta(part10)[1] :]


class Shelf:
    """A sink that keeps what it is given, and does as told about the rest."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: dict[str, RefusedStorage | OSError] = {}
        self.lock = threading.Lock()

    def __call__(self, received: Received) -> Accepted | RefusedStorage:
        answer = self.answers.get(received.sop_instance_uid)
        if isinstance(answer, OSError):
            raise answer
        if answer:
            return answer
        with self.lock:
            self.received.append(received)
        return Accepted()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def receiver(shelf: Shelf) -> Iterator[StorageReceiver]:
    with StorageReceiver(["RESEARCH", "CLINIC"], shelf) as running:
        yield running


def to(receiver: Receiver, title: str = "RESEARCH") -> Peer:
    return Peer("127.0.0.1", receiver.port, title)


def test_objects_of_all_kinds_arrive_byte_for_byte_and_in_order(
    receiver: StorageReceiver, shelf: Shelf, tmp_path: Path
) -> None:
    sources = [instance(1), instance(2, CT, IMPLICIT), instance(3, MR, BIG), instance(4, CT, J2K), instance(90)]
    file = tmp_path / "one.dcm"
    file.write_bytes(sources[0])
    seen: list[tuple[int, int]] = []
    report = send([file, *sources[1:]], to(receiver), "SENDER", lambda done, total: seen.append((done, total)))

    assert report.complete
    assert report.accepted == tuple(f"1.2.999.5.{number}" for number in (1, 2, 3, 4, 90))
    assert [received.dataset_bytes for received in shelf.received] == [body(source) for source in sources]
    assert [received.transfer_syntax_uid for received in shelf.received] == [EXPLICIT, IMPLICIT, BIG, J2K, EXPLICIT]
    assert {(received.called_ae, received.calling_ae) for received in shelf.received} == {("RESEARCH", "SENDER")}
    assert seen == [(number, 5) for number in range(1, 6)]


def test_what_was_received_is_written_as_a_file_that_readers_take(receiver: StorageReceiver, shelf: Shelf) -> None:
    source = instance(7)
    send([source], to(receiver), "SENDER")
    written = pydicom.dcmread(io.BytesIO(write_part10(shelf.received[0])))
    assert written.file_meta.MediaStorageSOPInstanceUID == written.SOPInstanceUID == "1.2.999.5.7"
    assert written.file_meta.TransferSyntaxUID == EXPLICIT
    assert write_part10(shelf.received[0]).endswith(body(source))


def test_success_is_answered_only_for_what_the_sink_took(receiver: StorageReceiver, shelf: Shelf) -> None:
    shelf.answers = {
        "1.2.999.5.2": RefusedStorage(OUT_OF_RESOURCES),
        "1.2.999.5.3": RefusedStorage(),
        "1.2.999.5.4": OSError("no space left"),
    }
    report = send([instance(number) for number in range(1, 6)], to(receiver), "SENDER")
    assert report.accepted == ("1.2.999.5.1", "1.2.999.5.5")
    assert [(refused.sop_instance_uid[-1], refused.status) for refused in report.refused] == [
        ("2", 0xA700),
        ("3", 0xC000),
        ("4", 0xA700),
    ]
    assert not report.complete
    assert "no space" not in "".join(refused.text for refused in report.refused)


def test_more_kinds_than_one_association_carries_are_all_sent(receiver: StorageReceiver, shelf: Shelf) -> None:
    from pynetdicom import AllStoragePresentationContexts

    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts][:140]
    report = send([instance(1, sop_class) for sop_class in classes], to(receiver), "SENDER")
    assert len(report.accepted) == 140
    assert [received.sop_class_uid for received in shelf.received] == classes


def test_each_configured_title_answers_and_others_are_told_the_mend(receiver: StorageReceiver) -> None:
    echo(to(receiver, "CLINIC"), "SENDER")
    with pytest.raises(AssociationRefused, match="AE title called"):
        echo(to(receiver, "ELSEWHERE"), "SENDER")
    with pytest.raises(AssociationRefused):
        send([instance(1)], to(receiver, "ELSEWHERE"), "SENDER")


def test_only_known_callers_are_let_in_where_they_are_listed(shelf: Shelf) -> None:
    with StorageReceiver(["RESEARCH"], shelf, calling_ae_titles=["MODALITY"]) as receiver:
        echo(to(receiver), "MODALITY")
        with pytest.raises(AssociationRefused, match="calling AE title"):
            send([instance(1)], to(receiver), "STRANGER")
    assert not shelf.received


def test_nobody_there_is_an_error_with_a_mend(receiver: StorageReceiver) -> None:
    peer = to(receiver)
    receiver.stop()
    with pytest.raises(PeerUnreachable, match="check that it runs"):
        echo(peer, "SENDER")


def test_a_receiver_starts_again_after_it_stopped(shelf: Shelf) -> None:
    receiver = StorageReceiver(["RESEARCH"], shelf)
    for number in (1, 2):
        with receiver:
            assert send([instance(number)], to(receiver), "SENDER").complete
    assert len(shelf.received) == 2


def test_a_peer_that_goes_away_midway_is_reported_not_raised(shelf: Shelf) -> None:
    gone = threading.Event()

    def leaves(received: Received) -> Accepted:
        if shelf.received:
            gone.set()
            threading.Thread(target=receiver.stop).start()
        shelf(received)
        return Accepted()

    receiver = StorageReceiver(["RESEARCH"], leaves)
    with receiver:
        report = send([instance(number) for number in range(1, 40)], to(receiver), "SENDER")
    assert gone.is_set()
    assert report.accepted[0] == "1.2.999.5.1"
    assert len(report.accepted) + len(report.refused) == 39
    assert report.refused[-1].status is None


def test_a_file_that_is_no_dicom_stops_the_transfer_before_it_begins(receiver: StorageReceiver, shelf: Shelf) -> None:
    with pytest.raises(Refused, match="Part 10"):
        send([instance(1), b"GIF89a" * 50], to(receiver), "SENDER")
    assert not shelf.received


@pytest.mark.parametrize("titles", [[], [""], ["A TITLE OF TOO MANY LETTERS"]])
def test_titles_that_cannot_be_are_refused_at_once(titles: list[str], shelf: Shelf) -> None:
    with pytest.raises(ValueError, match="AE title"):
        StorageReceiver(titles, shelf)


@dcmtk
def test_dcmtk_verifies_and_stores_here(receiver: StorageReceiver, shelf: Shelf, tmp_path: Path) -> None:
    sources = [instance(1), instance(2, CT, IMPLICIT), instance(3)]
    for number, source in enumerate(sources):
        (tmp_path / f"{number}.dcm").write_bytes(source)
    address = ["-aec", "CLINIC", "127.0.0.1", str(receiver.port)]
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    assert run("echoscu", *address) == 0
    assert run("storescu", "-R", *address, *files) == 0
    assert [received.sop_instance_uid for received in shelf.received] == [f"1.2.999.5.{n}" for n in (1, 2, 3)]
    assert run("echoscu", "-aec", "NOBODY", "127.0.0.1", str(receiver.port)) != 0
    shelf.answers["1.2.999.5.1"] = RefusedStorage(OUT_OF_RESOURCES)
    assert run("storescu", "-R", *address, files[0]) != 0


@dcmtk
def test_dcmtk_takes_what_is_sent_byte_for_byte(tmp_path: Path) -> None:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    store = subprocess.Popen(
        [str(BIN / "storescp"), "-aet", "PACS", "+xa", "-od", str(tmp_path), "--bit-preserving", str(port)],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peer = Peer("127.0.0.1", port, "PACS")
    try:
        for _ in range(200):
            try:
                echo(peer, "SENDER")
                break
            except PeerUnreachable:
                continue
        sources = [instance(1), instance(2, CT, IMPLICIT), instance(4, MR, J2K)]
        assert send(sources, peer, "SENDER").complete
    finally:
        store.terminate()
        store.wait(timeout=30)
    stored = {body(path.read_bytes()) for path in tmp_path.iterdir()}
    assert stored == {body(source) for source in sources}


def run(tool: str, *arguments: str) -> int:
    command = [str(BIN / tool), *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=60, check=False).returncode


def test_a_refusal_that_came_before_anybody_looked_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, shelf: Shelf
) -> None:
    send_request = ACSE.send_request

    def send_and_dawdle(acse: ACSE) -> None:
        send_request(acse)
        acse.dul.join(10)  # ends once the peer has refused and the connection is gone

    monkeypatch.setattr(ACSE, "send_request", send_and_dawdle)
    with (
        StorageReceiver(["RESEARCH"], shelf, calling_ae_titles=["MODALITY"]) as receiver,
        pytest.raises(AssociationRefused, match="calling"),
    ):
        echo(to(receiver), "ANYONE")
