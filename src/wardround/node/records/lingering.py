"""A look at the records that stays open for some seconds, as a question is seldom the last of somebody who asks.

Opening DuckDB's file and reading its blocks anew takes as long as a typical question itself. What was opened is closed
once nobody asked for some seconds, and within a twentieth of a second once somebody waits to write: a load waits for
the questions that are being answered just then, and for no later one. PostgreSQL is connected to for each question.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wardround.node.records.store import Records

if TYPE_CHECKING:
    from ibis import BaseBackend

SECONDS = 5.0
_LOOK = 0.05


@dataclass
class _Opened:
    """users: how many read just now; until: when it is closed, in seconds of the monotonic clock; spent: something went
    wrong with it, so that nobody else uses it."""

    backend: Any
    ends: ExitStack
    users: int = 0
    until: float = 0.0
    spent: bool = False


class Lingering:
    """For several questions at once; each has tables of its own for what it found.

    Args:
        seconds: for how long what was opened is kept after a question.
    """

    def __init__(self, records: Records, seconds: float = SECONDS) -> None:
        self._records = records
        self._seconds = seconds
        self._state = threading.Condition()
        self._opened: _Opened | None = None
        self._watcher: threading.Thread | None = None

    @contextmanager
    def reading(self) -> Iterator[BaseBackend]:
        """As `Records.reading`, and raises as it does."""
        if not self._records.is_file:
            with self._records.reading() as backend:
                yield backend
            return
        import duckdb
        import ibis

        opened = self._take()
        try:
            backend = ibis.duckdb.from_connection(opened.backend.con.cursor())
            try:
                yield backend
            finally:
                backend.disconnect()
        except duckdb.Error:
            opened.spent = True
            raise
        finally:
            with self._state:
                opened.users -= 1
                opened.until = time.monotonic() + self._seconds
                self._close_if_due()

    def close(self) -> None:
        """Close what is open, unless somebody reads. A program mustn't end while a thread of it is within DuckDB."""
        with self._state:
            watcher = self._watcher
            if self._opened is not None:
                self._opened.spent = True
                self._close_if_due()
            closed = self._opened is None
        if closed and watcher is not None:
            watcher.join()

    def _take(self) -> _Opened:
        with self._state:
            while self._opened is not None and (self._opened.spent or self._records.is_awaited()):
                self._close_if_due()
                if self._opened is not None:
                    self._state.wait(_LOOK)
            if self._opened is None:
                with ExitStack() as ends:
                    backend = ends.enter_context(self._records.reading())
                    self._opened = _Opened(backend, ends.pop_all())
                if self._watcher is None:
                    atexit.register(self.close)
                self._watcher = threading.Thread(target=self._watch, args=(self._opened,), name="records", daemon=True)
                self._watcher.start()
            self._opened.users += 1
            return self._opened

    def _watch(self, opened: _Opened) -> None:
        with self._state:
            while self._opened is opened:
                self._state.wait(_LOOK)
                self._close_if_due()

    def _close_if_due(self) -> None:
        """The caller holds the lock."""
        opened = self._opened
        if opened is None or opened.users:
            return
        if opened.spent or time.monotonic() >= opened.until or self._records.is_awaited():
            self._opened = None
            opened.backend = None  # also out of the hands of the thread that watches
            opened.ends.close()
            self._state.notify_all()
