"""Child processes that are waited for, stopped in order, and never outlive their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil


def stop_tree(pid: int, *, patience: float = 10.0) -> None:
    """End a process and all that it started: SIGTERM first, SIGKILL for what is left after `patience` seconds."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


class Program:
    """A program of ours as a child process, its output in a file.

    It is started in a session of its own, so that a terminal's Ctrl-C reaches the parent alone, which then stops
    its children in order.
    """

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Tell it to end (SIGTERM) and don't wait."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, *, patience: float = 15.0) -> None:
        """End the program and all that it started; nothing is left when this returns."""
        # Looked up while the program is there: its orphans can't be told from anyone else's afterwards.
        family = _descendants(self._process.pid)
        self.ask_to_stop()
        try:
            self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            family += _descendants(self._process.pid)
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=patience)

    def kill(self) -> None:
        """End it as a crash would: SIGKILL to the program alone."""
        self._process.kill()
        self._process.wait()
