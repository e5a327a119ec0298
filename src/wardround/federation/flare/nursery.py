"""Where FLARE's server and client have the processes of their jobs from: one that has loaded all, and is split in two.

Loading Python and what a leg's process imports takes the better part of a second of a processor and 60 MB, for the
hub's process and for each site's. The nursery is split off the server or the client before that begins its work and
has any thread, and waits; a process that it bears is there within milliseconds, and shares with it all the memory that
neither changes. It ends with its parent, and so do those that it bore, each by its own lifeline.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST_REQUEST = 128 * 1024
LOST = 1
"""The exit code of a process whose nursery ended first, so that nobody can tell its own."""


class NurseryLost(RuntimeError):
    """The nursery has ended: this process can't start jobs any more."""


@dataclass(frozen=True)
class Birth:
    """What a process that was just born is to do. `lifeline`: a pipe's end; the other closes with whoever asked."""

    arguments: tuple[str, ...]
    lifeline: int


class Child:
    """A process that the nursery bore, as whoever asked for it knows it. Safe for use from several threads."""

    def __init__(self, told: int, lifeline: int) -> None:
        self._told = os.fdopen(told, "rb")
        self._lifeline = lifeline
        self._lock = threading.Lock()
        self._ended = selectors.DefaultSelector()
        self._code: int | None = None
        line = self._told.readline()
        if not line:
            os.close(lifeline)
            raise NurseryLost("the process that jobs are started from has ended")
        self.pid = int(line)
        self._ended.register(self._told, selectors.EVENT_READ)

    def wait(self) -> int:
        """The exit code once it has ended; negative: the signal that ended it."""
        self._ended.select()
        code = self.poll()
        assert code is not None  # noqa: S101 - what was selected can be read
        return code

    def poll(self) -> int | None:
        """The exit code, or None as long as it runs."""
        with self._lock:
            if self._code is None and self._ended.select(0):
                line = self._told.readline()
                self._code = int(line) if line else LOST
                os.close(self._lifeline)
            return self._code

    def kill(self) -> None:
        """End it, and all that it started."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._code is None:
                os.killpg(self.pid, signal.SIGKILL)


class Nursery:
    """The nursery, as the process that it was split off knows it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def bear(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Have a process; `environment`: beside the nursery's own. Raises :class:`NurseryLost`."""
        theirs, ours = os.pipe()
        told, telling = os.pipe()
        request = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode()
        try:
            socket.send_fds(self._line, [request], [theirs, telling])
        except OSError as error:
            os.close(told)
            os.close(ours)
            raise NurseryLost("the process that jobs are started from has ended") from error
        finally:
            os.close(theirs)
            os.close(telling)
        return Child(told, ours)

    def wait_lost(self) -> None:
        """Return once the nursery has ended, however it ended."""
        self._line.recv(1)


def split_off(name: str) -> Nursery | Birth:
    """Split the nursery off this process, which may have no other thread, and go on.

    Returns here with the nursery, and in every process that is born of it with what that is to do. `name`: of the
    latter, for lists of processes.
    """
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # What was loaded stays as it is; a search for garbage in it would only unshare its pages.
    gc.collect()
    gc.freeze()
    if os.fork():
        theirs.close()
        return Nursery(ours)
    ours.close()
    _be_called("nursery")
    birth = _tend(theirs)
    _be_called(name)
    return birth


def _tend(line: socket.socket) -> Birth:
    """Bear processes as asked, and tell how each ended, until nobody can ask any more. Returns in those alone."""
    running: dict[int, tuple[int, int]] = {}
    events = selectors.DefaultSelector()
    events.register(line, selectors.EVENT_READ)
    while True:
        for key, _ in events.select():
            if key.fd != line.fileno():
                pid, telling = running.pop(key.fd)
                events.unregister(key.fd)
                os.close(key.fd)
                _tell(telling, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(telling)
                continue
            request, descriptors, _, _ = socket.recv_fds(line, LARGEST_REQUEST, 2)
            if not request:
                os._exit(0)
            lifeline, telling = descriptors
            pid = os.fork()
            if not pid:
                os.setpgid(0, 0)
                events.close()
                line.close()
                for watched, told in running.items():
                    os.close(watched)
                    os.close(told[1])
                os.close(telling)
                asked = json.loads(request)
                os.environ.update(asked["environment"])
                return Birth(tuple(asked["arguments"]), lifeline)
            # Here as well as there: it is told of only when nobody can take its group for this one's.
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            os.close(lifeline)
            watched = os.pidfd_open(pid)
            running[watched] = pid, telling
            events.register(watched, selectors.EVENT_READ)
            _tell(telling, pid)


def _tell(telling: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.write(telling, b"%d\n" % number)


def _be_called(name: str) -> None:
    # Some containers have nobody write there; the name is for people alone.
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)
