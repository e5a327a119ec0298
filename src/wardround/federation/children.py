"""Child processes of the engine: one folder, one log, no orphan."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from wardround.foundation.processes import stop_tree

# What a parent tells its engine processes by their environment: a pipe's descriptor and the ports' address files.
LIFELINE = "WARDROUND_LIFELINE"
HUB_PORT = "WARDROUND_HUB_PORT"
NODE_PORT = "WARDROUND_NODE_PORT"
PARTICIPANT_PORT = "WARDROUND_PARTICIPANT_PORT"

# Pieces of some megabytes come and go all the time. Left to itself, the C library has the kernel hand out and clear the
# pages of each anew, piece after piece; so it keeps some of what is free, in one arena for all threads. Sums of a block
# are too short for threads, which would spin for them on every core and hold memory of their own.
ALLOCATION = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
}


class EngineProcess:
    """A process that runs :mod:`wardround.federation.flare.process` in a session of its own.

    It holds one end of a pipe and ends itself when the other, ours, is closed: by :meth:`stop`, or by the
    kernel when this program ends in whatever way. Standard output and error go to ``log``; temporary files to
    ``folder``/tmp.
    """

    def __init__(
        self, role: str, arguments: Sequence[str], *, folder: Path, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        theirs, self._ours = os.pipe()
        environment = {**os.environ, "TMPDIR": str(folder / "tmp"), **ALLOCATION, **(env or {})}
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "wardround.federation.flare.process", role, *arguments],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**environment, LIFELINE: str(theirs)},
                    pass_fds=(theirs,),
                    start_new_session=True,
                )
        except OSError:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)
        self._stopping = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code once the process has ended, or None if ``timeout`` passed first."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, patience: float = 3.0) -> None:
        """End the process and what it started: SIGTERM, then SIGKILL. Nothing is left when this returns."""
        with self._stopping:
            stop_tree(self._process.pid, patience=patience)
            self._process.wait()
            if self._ours >= 0:
                os.close(self._ours)
                self._ours = -1
