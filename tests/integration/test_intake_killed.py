"""kill -9 in the middle of an intake: what was acknowledged is there, once and whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pydicom
from sqlalchemy import select
from tests.front_door import SECRET, FrontDoor, data_set, studies

from wardround.dicom.network import Peer, send
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.node.enclave.tables import EnclaveInstance
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance

ROOT = Path(__file__).parents[2]
KILLS = 3
MANY, KILLS_OF_MANY = 200, 4


@contextmanager
def child(home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning", "-m", "tests.integration.intake_child", str(home), *options],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def sop_uid(part10: bytes) -> str:
    return str(pydicom.dcmread(BytesIO(part10), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def check(home: Path, sent: dict[str, bytes], acknowledged: set[str]) -> None:
    """Every acknowledged instance is in quarantine as it came, or whole in the enclave; never nowhere, never twice."""
    door = FrontDoor(home)
    door.reception.recover()
    keys, pseudonyms = KeyMaker(SECRET), PseudonymKeys(SECRET)
    with door.database.reading() as session:
        columns = (ReceivedInstance.instance_key, ReceivedInstance.state, ReceivedInstance.file)
        rows = session.execute(select(*columns)).all()
        enclave = dict(session.execute(select(EnclaveInstance.uid, EnclaveInstance.digest)).all())
    received = {row.instance_key: row for row in rows}
    assert len(received) == len(rows), "twice"
    for uid, part10 in sent.items():
        row = received.get(keys.key("instance", uid))
        if row is None:
            assert uid not in acknowledged, "acknowledged and lost"
            continue
        if row.state == State.RECEIVED:
            assert row.file is not None
            assert data_set((door.quarantine / row.file).read_bytes()) == data_set(part10)
            assert pseudonyms.uid(uid) not in enclave
        else:
            assert row.state == State.DEIDENTIFIED
            assert door.objects.get(enclave[pseudonyms.uid(uid)]) == door.deidentify(part10).data
    door.close()


def test_every_acknowledged_instance_survives_kill_9(tmp_path: Path) -> None:
    sent = {sop_uid(part10): part10 for study in studies() for part10 in (*study.slices, study.segmentation)}
    acknowledged: set[str] = set()
    rng = random.Random(7)  # noqa: S311 - moments to kill at, not a secret
    for _ in range(KILLS):
        with child(tmp_path) as process:
            moment = rng.randint(1, len(sent) - 1)

            def kill(done: int, _total: int, process: subprocess.Popen[str] = process, at: int = moment) -> None:
                if done == at:
                    os.kill(process.pid, signal.SIGKILL)

            order = list(sent.values())
            rng.shuffle(order)
            report = send(order, Peer("127.0.0.1", port(process), "RESEARCH"), "PACS", progress=kill)
            assert not report.complete
            assert process.wait() == -signal.SIGKILL
            acknowledged |= set(report.accepted)
        check(tmp_path, sent, acknowledged)

    with child(tmp_path) as process:
        report = send(sent.values(), Peer("127.0.0.1", port(process), "RESEARCH"), "PACS")
        assert report.complete
        assert process.stdout is not None
        while process.stdout.readline().split() != ["idle", str(len(sent))]:
            assert process.poll() is None
    check(tmp_path, sent, set(sent))
    door = FrontDoor(tmp_path)
    door.reception.recover()
    assert door.quarantined() == []
    totals = door.enclave.totals()
    assert (totals.instances, totals.series, totals.reference_labels) == (len(sent), 2, 2)
    stored = [file for file in door.objects.root.rglob("*") if file.is_file() and not file.name.startswith(".")]
    assert len(stored) == len(sent)
    door.close()


def many() -> dict[str, bytes]:
    """Instances that differ in their UID and in a hundred kilobytes of pixels, by their UID."""
    one = pydicom.dcmread(BytesIO(studies()[0].slices[0]))
    one.Rows, one.Columns = 256, 200
    made = {}
    for number in range(MANY):
        uid = f"1.2.826.0.1.3680043.10.1.{number + 1}"
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(uid)
        one.PixelData = number.to_bytes(2, "little") * (256 * 200)
        buffer = BytesIO()
        one.save_as(buffer)
        made[uid] = buffer.getvalue()
    return made


def check_door(home: Path, sent: dict[str, bytes], acknowledged: set[str]) -> None:
    """After a restart each acknowledged instance is there, once and as it came; of the others all or nothing."""
    door = FrontDoor(home)
    door.reception.recover()
    keys = KeyMaker(SECRET)
    with door.database.reading() as session:
        rows = session.execute(select(ReceivedInstance.instance_key, ReceivedInstance.file)).all()
    files = {row.instance_key: row.file for row in rows}
    assert len(files) == len(rows), "twice"
    assert {keys.key("instance", uid) for uid in acknowledged} <= files.keys(), "acknowledged and lost"
    for uid, part10 in sent.items():
        file = files.get(keys.key("instance", uid))
        if file is not None:
            assert data_set((door.quarantine / file).read_bytes()) == data_set(part10), "half"
    assert {file.name for file in door.quarantined() if file.name != ".lock"} == set(files.values()), "left behind"
    door.close()


def test_kills_at_any_moment_of_two_hundred_objects(tmp_path: Path) -> None:
    """The moment is a time, not a count: in the middle of an object, of a flush, of a batch of the index."""
    sent = many()
    acknowledged: set[str] = set()
    rng = random.Random(11)  # noqa: S311 - moments to kill at, not a secret
    for _ in range(KILLS_OF_MANY):
        with child(tmp_path, "--only-receive") as process:
            begin, delay = rng.randint(1, 25), rng.uniform(0, 0.08)
            timer = threading.Timer(delay, process.kill)

            def begun(done: int, _total: int, timer: threading.Timer = timer, at: int = begin) -> None:
                if done == at:
                    timer.start()

            left = [part10 for uid, part10 in sent.items() if uid not in acknowledged]
            # Some that were acknowledged are sent again, as a PACS does that lost its own notes.
            order = rng.sample(list(sent.values()), 5) + left
            report = send(order, Peer("127.0.0.1", port(process), "RESEARCH"), "PACS", progress=begun)
            assert process.wait() == -signal.SIGKILL
            acknowledged |= set(report.accepted)
        check_door(tmp_path, sent, acknowledged)
    assert acknowledged
    with child(tmp_path, "--only-receive") as process:
        assert send(sent.values(), Peer("127.0.0.1", port(process), "RESEARCH"), "PACS").complete
    check_door(tmp_path, sent, set(sent))
