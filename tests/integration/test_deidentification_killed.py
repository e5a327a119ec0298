"""kill -9 between quarantine and enclave, at any step of any group: nothing is lost, doubled or half there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import psutil
from sqlalchemy import func, select
from tests.front_door import FrontDoor, studies

from wardround.foundation.files import ASIDE
from wardround.node.enclave.tables import EnclaveInstance
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance

ROOT = Path(__file__).parents[2]
PATIENTS = 14
KILLS = 8


def run(home: Path, lines: int | None) -> int:
    """Let the child go until it has told so many lines, then kill it; its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.deidentify_child", str(home)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    crew: list[psutil.Process] = []
    with process, process.stdout:
        for number, line in enumerate(process.stdout, 1):
            crew = psutil.Process(process.pid).children() if line.strip() != "done" else crew
            if number == lines:
                process.kill()
                break
        code = process.wait()
    assert psutil.wait_procs(crew, timeout=30)[1] == [], "its crew ended with it"
    return code


def test_nothing_is_lost_doubled_or_half_there_after_kill_9(tmp_path: Path) -> None:
    door = FrontDoor(tmp_path)
    originals = [part10 for study in studies(PATIENTS) for part10 in (*study.slices, study.segmentation)]
    for study in studies(PATIENTS):
        door.give_study(study)
    door.complete()
    expected = {one.sop_uid: one.data for one in map(door.deidentify, originals)}
    rng = random.Random(11)  # noqa: S311 - moments to kill at, not a secret
    killed = 0
    for _ in range(KILLS):
        killed += run(tmp_path, rng.randint(1, 20)) != 0
        check(door, expected)
    assert killed >= KILLS // 2
    assert run(tmp_path, None) == 0
    check(door, expected)
    totals = door.enclave.totals()
    assert (totals.instances, totals.patients, totals.reference_labels) == (len(originals), PATIENTS, PATIENTS)
    assert door.quarantined() == [] and list((door.objects.root / ASIDE).iterdir()) == []
    assert len(list(door.objects.digests())) == len(originals)
    door.close()


def check(door: FrontDoor, expected: dict[str, bytes]) -> None:
    with door.database.reading() as session:
        by_state = dict(
            session.execute(select(ReceivedInstance.state, func.count()).group_by(ReceivedInstance.state)).all()
        )
        files = list(session.scalars(select(ReceivedInstance.file).where(ReceivedInstance.file.is_not(None))))
        indexed = dict(session.execute(select(EnclaveInstance.uid, EnclaveInstance.digest)).all())
    assert sum(by_state.values()) == len(expected) and set(by_state) <= {State.RECEIVED, State.DEIDENTIFIED}
    assert by_state.get(State.DEIDENTIFIED, 0) == len(indexed)
    assert by_state.get(State.RECEIVED, 0) == len(files)
    assert all((door.quarantine / str(file)).exists() for file in files)
    assert all(door.objects.get(digest) == expected[uid] for uid, digest in indexed.items())
    assert all(door.vault.owners([uid]) for uid in indexed), "what is in the enclave can be re-linked"
