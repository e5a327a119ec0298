"""Several receivers behind one port, each in a process of its own, so that one interpreter's lock isn't the limit.

The node listens and hands each connection to the process with the fewest open. Objects land in that process's bay; its
entries come back over a line and are written here, by the one who writes the index. A process that ends is counted and
started again, and what it had acknowledged is taken over from its bay. None outlives the node: each ends when its line
does, which the kernel closes with the node, however that ends.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import IO, Self

from wardround.dicom.network_entrance import TAKEN, Listener, hand_over
from wardround.node.receive.arrival import Entry
from wardround.node.receive.clerk import Clerk, House
from wardround.node.receive.index import IndexUnavailable
from wardround.node.receive.line import Line, LineEnded
from wardround.node.receive.quay import CLOSING
from wardround.node.receive.route import StudyPath
from wardround.node.receive.terms import Terms

log = logging.getLogger(__name__)

MODULE = "wardround.node.receive.receiver"
ENDED = "receiver-ended"
STARTING = 60.0
"""Seconds that starting waits for the processes; the port is open after that in any case."""
STOPPING = CLOSING + 15.0
REST = 5.0
"""Seconds before a process is started in place of one that ended before it was ready."""
TAKEN_OVER_EVERY = 5.0
_MANY = 4096


class Receivers:
    """A `wardround.dicom.network.Receiver` of `count` processes.

    Raises:
        TlsRefused: the files of the terms' TLS can't be used.
    """

    def __init__(self, count: int, terms: Terms, house: House) -> None:
        self._count = count
        self._terms = terms
        self._house = house
        if terms.wire.tls is not None:
            terms.wire.tls.server()
        self._listener = Listener((terms.wire.host, terms.wire.port), terms.wire.associations)
        self._changed = threading.Condition()
        self._children: list[_Child] = []
        self._closed: Mapping[StudyPath, str] = {}
        self._stopping = threading.Event()
        self._keepers: list[threading.Thread] = []
        self._seats: IO[bytes] | None = None
        self._left_behind = 0

    @property
    def port(self) -> int:
        """The TCP port that all of them answer on."""
        return self._listener.port

    @property
    def process_ids(self) -> list[int]:
        """Of those that are ready."""
        with self._changed:
            return [child.process.pid for child in self._children if child.ready]

    def start(self) -> None:
        """Start the processes, then listen. Raises OSError if the address is taken."""
        if self._keepers:
            return
        self._stopping.clear()
        self._left_behind = 0
        self._seats = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        seats = self._seats.fileno()
        for _ in range(self._count):
            keeper = threading.Thread(target=self._keep, args=(seats,), name="receiver-keeper", daemon=True)
            self._keepers.append(keeper)
            keeper.start()
        with self._changed:
            if not self._changed.wait_for(self._complete, STARTING):
                log.error("not all of the receiving processes are ready; see whether this machine is out of memory")
        try:
            self._listener.open(self._take)
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop listening and end the processes; objects that are being committed are answered first."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._listener.close()
        for child in self._all():
            child.stop()
        until = time.monotonic() + STOPPING
        for keeper in self._keepers:
            keeper.join(max(0.0, until - time.monotonic()))
        for child in self._all():
            child.process.kill()
        for keeper in self._keepers:
            keeper.join()
        self._keepers.clear()
        if self._seats is not None:
            self._seats.close()

    def settle(self, timeout: float) -> bool:
        """Wait until the index has all that has landed in any of them; False if that took longer than `timeout`."""
        until = time.monotonic() + timeout
        settled = True
        for child in (child for child in self._all() if child.ready):
            left = max(0.0, until - time.monotonic())
            try:
                settled = bool(child.line.call("settle", left, timeout=left + 1.0)) and settled
            except LineEnded:
                continue  # what it had landed is taken over
            except OSError:
                settled = False
        with self._changed:
            taken_over = self._changed.wait_for(lambda: not self._left_behind, max(0.0, until - time.monotonic()))
        return settled and taken_over

    def close_paths(self, reasons: Mapping[StudyPath, str]) -> None:
        """Have nothing taken for these paths, for these reasons, and everything for the others."""
        if reasons != self._closed:
            self._closed = dict(reasons)
            for child in self._all():
                child.line.tell("closed", self._closed)

    def learn(self, entries: Sequence[Entry]) -> None:
        """The index has these now."""
        for child in self._all():
            if child.ready:
                child.line.tell("learn", entries)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _complete(self) -> bool:
        return sum(child.ready for child in self._children) == self._count

    def _all(self) -> list[_Child]:
        with self._changed:
            return list(self._children)

    def _take(self, made: socket.socket, peer: str) -> None:
        """Hand a connection on; without a process that is ready, whoever calls waits."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping.is_set() or any(one.ready for one in self._children))
                ready = [child for child in self._children if child.ready]
                if self._stopping.is_set() or not ready:
                    made.close()
                    self._listener.over()
                    return
                child = min(ready, key=lambda each: each.open + len(each.given))
                child.given.append(made)
            try:
                hand_over(child.connections, made)
            except OSError:
                with self._changed:
                    child.ready = False
                    if made not in child.given:
                        return  # whoever buried it gives it to another
                    child.given.remove(made)
            else:
                return

    def _keep(self, seats: int) -> None:
        """Keep one process going, from one to the next."""
        while not self._stopping.is_set():
            try:
                child = _Child(seats)
            except OSError as error:
                log.error("a receiving process can't be started: %s", type(error).__name__)
                self._stopping.wait(REST)
                continue
            with self._changed:
                self._children.append(child)
            clerk = Clerk(self._terms, self._house, ready=partial(self._ready, child))
            child.serve(clerk.answers())
            while said := child.said():
                for what in said:
                    if what == TAKEN:
                        with self._changed:
                            child.open += 1
                            taken = child.given.popleft()
                        taken.close()
                    else:
                        with self._changed:
                            child.open -= 1
                        self._listener.over()
            self._bury(child, clerk)

    def _ready(self, child: _Child) -> None:
        child.line.tell("closed", self._closed)
        with self._changed:
            child.ready = True
            self._changed.notify_all()
        if self._stopping.is_set():
            child.stop()

    def _bury(self, child: _Child, clerk: Clerk) -> None:
        with self._changed:
            was_ready, child.ready = child.ready, False
            self._children.remove(child)
            self._left_behind += 1
            given = list(child.given)
            child.given.clear()
        child.end()
        for _ in range(child.open):
            self._listener.over()
        clerk.close()
        threading.Thread(target=self._give_again, args=(given,), name="give-again", daemon=True).start()
        if self._stopping.is_set():
            return
        if was_ready:
            log.error("a receiving process ended and is started again")
            self._house.counted(ENDED)
        threading.Thread(target=self._take_over, name="take-over", daemon=True).start()
        if not was_ready:
            log.error("a receiving process ended before it was ready; it is tried again")
            self._stopping.wait(REST)

    def _give_again(self, given: Sequence[socket.socket]) -> None:
        for made in given:
            self._take(made, "")

    def _take_over(self) -> None:
        while not self._stopping.is_set():
            try:
                self._house.take_over()
            except (OSError, IndexUnavailable) as error:
                log.error("what a process left can't be registered yet: %s", type(error).__name__)
                self._stopping.wait(TAKEN_OVER_EVERY)
            else:
                with self._changed:
                    self._left_behind -= 1
                    self._changed.notify_all()
                return


class _Child:
    """One process, from the node's side. `open`: connections that it has. `given`: those that it hasn't taken yet."""

    def __init__(self, seats: int) -> None:
        self.ready = False
        self.open = 0
        self.given: deque[socket.socket] = deque()
        ours, theirs = socket.socketpair()
        self.connections, given = socket.socketpair()
        passed = [theirs.fileno(), given.fileno(), seats]
        with theirs, given:
            try:
                self.process = subprocess.Popen(
                    # -P: what lies in the working directory is no module.
                    [sys.executable, "-P", "-m", MODULE, *map(str, passed)],
                    pass_fds=passed,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    # A library's warning may quote a value; what is worth telling comes over the line.
                    stderr=subprocess.DEVNULL,
                    # A heap for each thread would cost memory that no thread needs for long.
                    env=os.environ | {"MALLOC_ARENA_MAX": "2"},
                )
            except OSError:
                ours.close()
                self.connections.close()
                raise
        self._answers: dict[str, Callable[..., object]] = {}
        # One that has stopped reading is as good as dead, and must hold up nobody.
        self.line = Line(ours, self._answers, ended=self.process.kill)

    def serve(self, answers: Mapping[str, Callable[..., object]]) -> None:
        self._answers.update(answers)
        self.line.start()

    def said(self) -> bytes:
        """What it says of connections, a byte each; waits for the next, and is empty once the process has ended."""
        try:
            return self.connections.recv(_MANY)
        except OSError:
            return b""

    def stop(self) -> None:
        """Have it end in order, or at once if it isn't ready."""
        if self.ready:
            self.line.tell("stop")
        else:
            self.process.kill()

    def end(self) -> None:
        """Nothing of it, nor of what it asked for, is left after this."""
        self.process.kill()
        self.process.wait()
        self.line.close()
        self.connections.close()
