"""What goes wrong at the front door of one node, and that the next association finds it working."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import UID
from sqlalchemy import select
from tests.front_door import FrontDoor, data_set, studies

from wardround.dicom.network import Limits, Peer, SendReport, StorageReceiver, send
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.bay import waiting_files
from wardround.node.receive.summary import intake_summary
from wardround.node.receive.tables import ReceivedInstance

MEGABYTE = 1 << 20
QUICK = Limits(artim_seconds=0.5, stall_seconds=0.5, idle_seconds=5)
"""Short, so that a test needn't wait long for what is decided after them."""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path)
    yield made
    made.close()


@pytest.fixture
def port(door: FrontDoor) -> Iterator[int]:
    with StorageReceiver(["RESEARCH"], landing=door.reception, limits=QUICK) as receiver:
        yield receiver.port


def deliver(port: int, *objects: bytes) -> SendReport:
    return send(objects, Peer("127.0.0.1", port, "RESEARCH"), "PACS")


def slices(count: int) -> list[bytes]:
    return [part10 for study in studies() for part10 in study.slices][:count]


def renamed(part10: bytes, uid: str) -> bytes:
    one = pydicom.dcmread(BytesIO(part10))
    with pydicom.config.disable_value_validation():
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = UID(uid, validation_mode=0)
        buffer = BytesIO()
        one.save_as(buffer)
    return buffer.getvalue()


def in_quarantine(door: FrontDoor) -> list[bytes]:
    assert door.reception.settle(60)
    return door.quarantined_data_sets()


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[FrontDoor]:
    made = FrontDoor(tmp_path, patience=0.2)
    yield made
    made.close()


def test_a_locked_index_loses_nothing_acknowledged(impatient: FrontDoor) -> None:
    """While the index is locked, what has landed is acknowledged, then the sender is told to come again."""
    with StorageReceiver(["RESEARCH"], landing=impatient.reception) as receiver:
        locked_while_receiving(impatient, receiver.port)


def locked_while_receiving(door: FrontDoor, port: int) -> None:
    first, second, third, fourth, *_ = slices(8)
    assert deliver(port, first).complete
    assert door.reception.settle(60)
    locker = sqlite3.connect(door.home / "node.db", isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    accepted = [part10 for part10 in (second, third) if deliver(port, part10).complete]
    while not (late := deliver(port, fourth)).refused:
        pass
    assert late.refused[0].status == 0xA700
    locker.execute("ROLLBACK")
    locker.close()
    assert door.reception.settle(60)
    assert deliver(port, fourth).complete
    assert set(map(data_set, [first, *accepted, fourth])) <= set(in_quarantine(door))
    assert set(intake_summary(door.database).turned_away) <= {"index-behind", "index-unavailable"}


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_names_that_climb_stay_where_they_are(door: FrontDoor, port: int, tmp_path: Path) -> None:
    part10 = slices(1)[0]
    odd = [
        renamed(part10, uid) for uid in ("../../../escaped", "../escaped", f"{tmp_path}/escaped"[-64:], "1.2/../../4")
    ]
    report = deliver(port, *odd)
    assert deliver(port, part10).complete
    assert door.reception.settle(60)
    assert list(tmp_path.rglob("*escaped*")) == []
    kept = door.quarantined()
    assert len(kept) == len(report.accepted) + 1
    assert all(set(file.stem) <= set("0123456789abcdef") for file in kept)


ASSOCIATE_PREFIX = b"\x01\x00\x00\x00\x00\xcd\x00\x01\x00\x00" + b"RESEARCH".ljust(16) + b"PACS".ljust(16) + bytes(32)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda rest: ASSOCIATE_PREFIX + rest)))
def test_noise_leaves_no_trace(door: FrontDoor, port: int, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
    part10 = slices(1)[0]
    assert deliver(port, part10).complete
    assert in_quarantine(door) == [data_set(part10)]


def test_one_who_stalls_in_an_object_is_cut_off_and_nothing_of_it_stays(door: FrontDoor, port: int) -> None:
    from pynetdicom import AE
    from pynetdicom.dimse_messages import C_STORE_RQ
    from pynetdicom.dimse_primitives import C_STORE

    first, second, *_ = slices(2)
    one = pydicom.dcmread(BytesIO(first))
    client = AE("PACS")
    client.add_requested_context(one.SOPClassUID, one.file_meta.TransferSyntaxUID)
    association = client.associate("127.0.0.1", port, ae_title="RESEARCH")
    assert association.is_established
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = one.SOPClassUID
    request.AffectedSOPInstanceUID = one.SOPInstanceUID
    request.Priority = 2
    request.DataSet = BytesIO(data_set(first))
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    pdus = list(message.encode_msg(association.accepted_contexts[0].context_id, 1024))
    for pdu in pdus[: len(pdus) // 2]:
        association.dul.send_pdu(pdu)
    assert deliver(port, second).complete, "one who stalls holds nobody up"
    association.join(30)
    assert not association.is_alive()
    assert in_quarantine(door) == [data_set(second)]
    assert intake_summary(door.database).turned_away == {"not-whole": 1}


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("a small disk is mounted by root alone")
    made = subprocess.run(
        ["/usr/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["/usr/bin/umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_really_full_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    all_of_them = slices(8)
    disk = tmp_path / "disk"
    with small_disk(disk, 4 * MEGABYTE):
        door = FrontDoor(disk)
        with StorageReceiver(["RESEARCH"], landing=door.reception) as receiver:
            assert deliver(receiver.port, *all_of_them[:3]).complete
            assert door.reception.settle(60)
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file:
                for size in (65536, 4096, 1):
                    try:
                        while file.write(bytes(size)) == size:
                            pass
                    except OSError:
                        continue
            assert shutil.disk_usage(disk).free == 0
            report = deliver(receiver.port, *all_of_them[3:])
            assert {refused.status for refused in report.refused} == {0xA700}
            assert report.accepted == ()
            filler.unlink()
            assert deliver(receiver.port, *all_of_them[3:]).complete
        assert in_quarantine(door) == sorted(map(data_set, all_of_them))
        assert intake_summary(door.database).turned_away == {"disk-error": len(report.refused)}
        assert list(waiting_files(door.quarantine / "incoming")) == []
        door.close()


def test_the_index_says_once_what_came_often(door: FrontDoor, port: int) -> None:
    """Many at once send the same objects."""
    from concurrent.futures import ThreadPoolExecutor

    objects = slices(8)
    with ThreadPoolExecutor(4) as pool:
        assert all(report.complete for report in pool.map(lambda _: deliver(port, *objects), range(8)))
    assert in_quarantine(door) == sorted(map(data_set, objects))
    keys = KeyMaker(bytes(range(32)))
    with door.database.reading() as session:
        known = list(session.scalars(select(ReceivedInstance.instance_key)))
    uids = [str(pydicom.dcmread(BytesIO(one), specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for one in objects]
    assert sorted(known) == sorted(keys.key("instance", uid) for uid in uids)
