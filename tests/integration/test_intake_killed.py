"""kill -9 in the middle of an intake: what was acknowledged is there, once and whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
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


@contextmanager
def child(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning", "-m", "tests.integration.intake_child", str(home)],
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
