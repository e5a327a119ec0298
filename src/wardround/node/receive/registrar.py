"""The thread that brings the index up with what landed: a batch at a time, so that a flush serves many."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import islice

from wardround.foundation.clock import Clock
from wardround.node.receive.arrival import Entry, digested
from wardround.node.receive.index import Index, IndexUnavailable

log = logging.getLogger(__name__)

BATCH = 1024
MOST_WAITING = 2048
"""Arrivals that may wait. Whoever brings one more waits too, until the index has caught up or `patience` is over."""
LINGER = 0.05
"""Seconds without a further arrival after which a batch is written."""
LONGEST_LINGER = 2.0
"""Seconds that the first arrival of a batch waits for others at most. What is durable is safe where it lies, and
making its digest and writing the index take time, the interpreter's as well as the disk's, that senders wait for."""
RETRY = 0.5


class Registrar:
    """Takes entries from any thread; one thread of its own writes them. It starts with the first entry.

    Args:
        patience: seconds that an entry may wait before the registrar counts as behind.
        done: called with each batch once it is committed.
        meanwhile: called now and then as long as a batch waits for more.
    """

    def __init__(
        self,
        index: Index,
        *,
        patience: float,
        done: Callable[[Sequence[Entry]], None],
        meanwhile: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._index = index
        self._patience = patience
        self._linger = min(LONGEST_LINGER, patience / 2)
        self._done = done
        self._meanwhile = meanwhile
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

    def admits(self) -> bool:
        """Whether one more may be taken. Where too many wait it waits itself, so that a sender is slowed down before
        it is turned away; False once the index is so far behind, or away for so long, that nothing more should be."""
        if len(self._waiting) < MOST_WAITING:
            return not self._late()
        with self._changed:
            caught_up = self._changed.wait_for(lambda: len(self._waiting) < MOST_WAITING, self._patience)
        return caught_up and not self._late()

    def _late(self) -> bool:
        try:
            oldest = self._waiting[0][0]
        except IndexError:
            return False
        return time.monotonic() - oldest > self._patience

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
        while (batch := self._next()) is not None:
            entries = self._written(*batch)
            if entries is None:
                return
            self._done(entries)
            with self._changed:
                for _ in entries:
                    self._waiting.popleft()
                self._counts.subtract(batch[1])
                self._counts = +self._counts
                self._changed.notify_all()

    def _written(self, entries: list[Entry], counts: Counter[str]) -> list[Entry] | None:
        """Write a batch, as often as it takes; its entries with their digests. None to end without it."""
        failing = False
        while True:
            try:
                for number, entry in enumerate(entries):
                    entries[number] = digested(entry)
                self._index.write(entries, counts, self._clock())
            except (IndexUnavailable, OSError) as error:
                if not failing:
                    log.error(
                        "the index can't be written; it is tried again: %s",
                        error if isinstance(error, IndexUnavailable) else type(error).__name__,
                    )
                failing = True
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, RETRY):
                        return None
            else:
                if failing:
                    log.info("the index is written again")
                return entries

    def _next(self) -> tuple[list[Entry], Counter[str]] | None:
        """The next batch, once it is full, somebody waits for it, or it has lingered; None to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting or self._counts)
        while True:
            with self._changed:
                pause = self._lingers()
                if pause > 0:
                    self._changed.wait(min(pause, LINGER))
                elif self._closing:
                    return None
                else:
                    return [entry for _, entry in islice(self._waiting, BATCH)], Counter(self._counts)
            self._meanwhile()

    def _lingers(self) -> float:
        """Seconds that the next batch still waits for more."""
        if self._closing or self._settling or not self._waiting or len(self._waiting) >= BATCH:
            return 0
        first, last = self._waiting[0][0], self._waiting[-1][0]
        return min(last + LINGER, first + self._linger) - time.monotonic()
