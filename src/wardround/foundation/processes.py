"""Child processes that are waited for, stopped in order, and never outlive their parent."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
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


class _Watch:
    """A small process of its own that ends this program's children when this program is gone, however it ended.

    It is told of each child over a pipe, whose other end the kernel closes with this program.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe = -1
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Have it run, unless it does."""
        with self._lock:
            if self._watcher is None or self._watcher.poll() is not None:
                theirs, ours = os.pipe()
                with contextlib.suppress(OSError):
                    os.close(self._pipe)
                self._pipe = ours
                self._watcher = subprocess.Popen(
                    [sys.executable, "-m", "wardround.foundation.processes"],
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
                os.close(theirs)

    def over(self, pid: int) -> None:
        self.start()
        with self._lock:
            os.write(self._pipe, f"{pid}\n".encode())


_WATCH = _Watch()
ORPHAN_SECONDS = 15.0


def watch() -> None:
    """The watcher: read process ids until the pipe closes, then SIGTERM to each, and SIGKILL to what is left."""
    children: dict[int, int] = {}
    for line in sys.stdin:
        with contextlib.suppress(ProcessLookupError):
            # Held by descriptor from now on, so that a number that is given anew is never mistaken for ours.
            children[os.pidfd_open(int(line))] = int(line)
    for descriptor in list(children):
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        except ProcessLookupError:
            del children[descriptor]
    waiting = select.poll()
    for descriptor in children:
        waiting.register(descriptor, select.POLLIN)
    while children:
        ended = waiting.poll(ORPHAN_SECONDS * 1000)
        if not ended:
            break
        for descriptor, _ in ended:
            waiting.unregister(descriptor)
            del children[descriptor]
    for pid in children.values():
        stop_tree(pid, patience=0.5)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


class Program:
    """A program of ours as a child process, its output in a file.

    It is started in a session of its own, so that a terminal's Ctrl-C reaches the parent alone, which then stops
    its children in order. Should the parent be killed, a watcher stops them (Linux).
    """

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        _WATCH.start()  # before there is something to watch: a parent that is killed in between leaves a program behind
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
        _WATCH.over(self._process.pid)

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


if __name__ == "__main__":
    watch()
