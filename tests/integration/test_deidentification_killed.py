"""kill -9 between quarantine and enclave, at any step of any group: nothing is lost, doubled or half there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select
from tests.front_door import FrontDoor, studies

from wardround.foundation.files import ASIDE
from wardround.node.enclave.tables import EnclaveInstance
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance

ROOT = Path(__file__).parents[2]
PATIENTS = 14
KILLS = 8
WORKERS = (0, 2)
"""Of every two that are killed one does the work itself, and one has processes for it."""


class Department:
    """Where de-identifying processes are born, and killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.deidentify_child"],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run(self, home: Path, workers: int, lines: int | None) -> int:
        """Let one go until it has told so many lines, then kill it; its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{home} {workers}\n")
        child, code, told = 0, 0, 0
        crew: list[psutil.Process] = []
        for line in self._process.stdout:
            word, *rest = line.split()
            if word == "born":
                child = int(rest[0])
                continue
            if word == "dead":
                code = int(rest[0])
                break
            told += 1
            if told == lines:
                crew = psutil.Process(child).children()
                os.kill(child, signal.SIGKILL)
        assert psutil.wait_procs(crew, timeout=30)[1] == [], "its crew ended with it"
        return code

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def department() -> Iterator[Department]:
    made = Department()
    yield made
    made.close()


def test_nothing_is_lost_doubled_or_half_there_after_kill_9(tmp_path: Path, department: Department) -> None:
    door = FrontDoor(tmp_path)
    originals = [part10 for study in studies(PATIENTS) for part10 in (*study.slices, study.segmentation)]
    for study in studies(PATIENTS):
        door.give_study(study)
    door.complete()
    expected = {one.sop_uid: one.data for one in map(door.deidentify, originals)}
    rng = random.Random(11)  # noqa: S311 - moments to kill at, not a secret
    killed = 0
    for number in range(KILLS):
        killed += department.run(tmp_path, WORKERS[number % 2], rng.randint(1, 20)) != 0
        check(door, expected)
    assert killed >= KILLS // 2
    assert department.run(tmp_path, WORKERS[-1], None) == 0
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
