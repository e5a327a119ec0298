"""The thread that brings the index up with what landed: a batch at a time, so that a flush serves many."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import islice

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from wardround.foundation.clock import Clock
from wardround.node.receive.arrival import Entry
from wardround.node.receive.register import Register

log = logging.getLogger(__name__)

BATCH = 256
MOST_WAITING = 4096
LINGER = 0.05
"""Seconds without a further arrival after which a batch is written."""
LONGEST_LINGER = 0.25
"""Seconds that the first arrival of a batch waits for others at most. Writing a batch takes the receivers' time, the
interpreter's as well as the disk's, and most of what it takes doesn't depend on how many are in it."""
RETRY = 0.5


class Registrar:
    """Takes entries from any thread; one thread of its own writes them. It starts with the first entry.

    Args:
        patience: seconds that an entry may wait before the registrar counts as behind.
        done: called with each batch once it is committed.
    """

    def __init__(
        self, register: Register, *, patience: float, done: Callable[[Sequence[Entry]], None], clock: Clock
    ) -> None:
        self._register = register
        self._patience = patience
        self._done = done
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, Entry]] = deque()
        self._counts: Counter[str] = Counter()
        self._settling = 0
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many entries aren't in the index yet."""
        return len(self._waiting)

    @property
    def behind(self) -> bool:
        """Whether the index is so far behind, or away for so long, that nothing more should be taken."""
        try:
            oldest = self._waiting[0][0]
        except IndexError:
            return False
        return len(self._waiting) >= MOST_WAITING or time.monotonic() - oldest > self._patience

    def put(self, entry: Entry) -> None:
        with self._changed:
            self._waiting.append((time.monotonic(), entry))
            self._wake()

    def count(self, reason: str) -> None:
        """Note that an object was turned away of which nothing is kept."""
        with self._changed:
            self._counts[reason] += 1
            self._wake()

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until all that was put is in the index; False if that took longer than `timeout` seconds."""
        with self._changed:
            self._settling += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._waiting and not self._counts, timeout)
            finally:
                self._settling -= 1

    def close(self, timeout: float) -> None:
        """Write what waits, for as long as `timeout` seconds, and end. What is left stays in the bay."""
        with self._changed:
            thread, self._thread = self._thread, None
            if thread is None:
                return
        self.settle(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        thread.join()
        self._closing = False

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="registrar", daemon=True)
            self._thread.start()
        if self._settling or len(self._waiting) in (1, BATCH):
            self._changed.notify_all()

    def _run(self) -> None:
        failing = False
        while (batch := self._next()) is not None:
            entries, counts = batch
            try:
                self._register.write(entries, counts, self._clock())
            except (DBAPIError, PoolExhausted, OSError) as error:
                if not failing:
                    log.error("the index can't be written; it is tried again: %s", type(error).__name__)
                failing = True
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, RETRY)
                continue
            if failing:
                log.info("the index is written again")
            failing = False
            self._done(entries)
            with self._changed:
                for _ in entries:
                    self._waiting.popleft()
                self._counts.subtract(counts)
                self._counts = +self._counts
                self._changed.notify_all()

    def _next(self) -> tuple[list[Entry], Counter[str]] | None:
        """The next batch, once it is full, somebody waits for it, or it has lingered; None to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting or self._counts)
            while (pause := self._lingers()) > 0:
                self._changed.wait(pause)
            if self._closing:
                return None
            return [entry for _, entry in islice(self._waiting, BATCH)], Counter(self._counts)

    def _lingers(self) -> float:
        """Seconds that the next batch still waits for more."""
        if self._closing or self._settling or not self._waiting or len(self._waiting) >= BATCH:
            return 0
        first, last = self._waiting[0][0], self._waiting[-1][0]
        return min(last + LINGER, first + LONGEST_LINGER) - time.monotonic()
