"""Killed at any moment, the store holds whole objects only, and a purge is finished by whoever comes next."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tests.front_door import EVERYONE, FrontDoor, studies

from wardround.foundation.files import ObjectStore
from wardround.node.enclave.purge import finish_purges
from wardround.node.enclave.verification import Verifier

WRITER = """
import os, sys
from pathlib import Path
from wardround.foundation.files import ObjectStore
store = ObjectStore(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    with store.batch() as batch:
        digests = [batch.put(os.urandom(20_000)) for _ in range(12)]
    for digest in digests:
        print(digest, flush=True)
"""

PURGER = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from tests.front_door import purges
from wardround.node.enclave.purge import Scope, finish_purges, order_purge
home, study, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
class Dying(ObjectStore):
    def remove(self, digest):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().remove(digest)
database = Database(f"sqlite:///{home / 'node.db'}", migrations="wardround.node.migrations")
at = datetime(2100, 1, 1, tzinfo=UTC)
with database.writing() as session:
    order_purge(session, Scope("study", study), purges(lambda: at), actor="person:ig", reason="r", at=at)
finish_purges(database, Dying(home / "enclave" / "objects"), home / "v", at=at, settling=timedelta(0))
"""


def test_what_was_said_to_be_stored_is_whole_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    chance = random.Random(7)  # noqa: S311 - moments, not a secret
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True, env={**os.environ}
        )
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        told = [child.stdout.readline().strip() for _ in range(chance.randint(1, 60))]
        child.send_signal(signal.SIGKILL)
        told += [line.strip() for line in child.stdout if len(line) == 65]
        child.wait()
        for digest in told:
            assert sha256(store.path(digest).read_bytes()).hexdigest() == digest
        for digest in store.digests():
            assert sha256(store.path(digest).read_bytes()).hexdigest() == digest, "named, so whole"


@pytest.mark.parametrize("removed", [0, 3])
def test_a_purge_that_was_killed_is_finished_and_leaves_no_trace(tmp_path: Path, removed: int) -> None:
    door = FrontDoor(tmp_path)
    for study in studies():
        door.give_study(study)
    door.tick()
    first, second = door.enclave.find(EVERYONE)
    command = [sys.executable, "-c", PURGER, tmp_path, first.study, str(removed)]
    child = subprocess.run(command, check=False, timeout=60, cwd=Path(__file__).parents[2])
    assert child.returncode == -signal.SIGKILL
    assert door.enclave.find(EVERYONE) == (second,), "what was ordered is gone for everybody"
    later = datetime(2100, 1, 1, tzinfo=UTC)
    done = finish_purges(door.database, door.objects, tmp_path / "v", at=later, settling=timedelta(0))
    assert (done.removed, done.waiting) == (5 - removed, 0)
    found = Verifier(door.database, door.objects, tmp_path / "notes").run(fast=False, at=later)
    assert found.sound and found.objects == 5 and found.orphans == []
    door.close()
