"""Killed at any moment, the store holds whole objects only, and a purge is finished by whoever comes next."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from wardround.foundation.files import ObjectStore

WRITER = """
import os, sys
from pathlib import Path
from wardround.foundation.files import ObjectStore
store = ObjectStore(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for digest in store.put_many(os.urandom(20_000) for _ in range(12)):
        print(digest, flush=True)
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
