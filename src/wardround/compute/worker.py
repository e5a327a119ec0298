"""A warm process for heavy work, so that a model's memory, or its crash, is never the program's own.

Functions go by name (they must be importable), arguments and results by value. The process starts at the first
call, keeps what it has loaded, and ends with its parent, however that one ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from wardround.foundation.errors import WardroundError
from wardround.foundation.threads import ONE_EACH

P = ParamSpec("P")
R = TypeVar("R")


class WorkerDied(WardroundError):
    """The process ended in the middle of the work: out of memory, killed, or crashed in native code."""

    code = "worker-died"


class WorkerTooSlow(WorkerDied):
    """The work took longer than it may, and its process was ended."""

    code = "worker-too-slow"


class Worker:
    """One warm process that does one thing at a time.

    Args:
        name: what the process is for; shown in process lists where that can be set.
        threads: how many threads numerical libraries may take (`OMP_NUM_THREADS`).
        nice: how far to step behind other work, 0 to 19.
    """

    def __init__(self, name: str, *, threads: int = 1, nice: int = 0) -> None:
        self.name = name
        self._threads = threads
        self._nice = nice
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """Nothing to do: the process starts with its first work."""

    def submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Begin the work and return at once. A process that died since the last work is replaced by a new one."""
        with self._lock:
            if self._pool is not None:
                try:
                    return self._pool.submit(function, *args, **kwargs)
                except BrokenProcessPool:
                    self._pool.shutdown(wait=False)
            self._pool = ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_prepare,
                initargs=(self._threads, self._nice),
            )
            return self._pool.submit(function, *args, **kwargs)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do `function(*args, **kwargs)` in the process and return its result, or raise its exception.

        Raises:
            WorkerDied: the process ended, or was stopped, before it answered; the next call starts a new one.
        """
        try:
            return self.submit(function, *args, **kwargs).result()
        except (BrokenProcessPool, CancelledError) as error:
            raise WorkerDied(f"the process for {self.name} died in the middle of its work") from error

    def call_within(self, seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `call`, and no longer than that, what was begun before it included.

        Raises:
            WorkerTooSlow: it took longer; the process is ended.
        """
        future = self.submit(function, *args, **kwargs)
        try:
            return future.result(seconds)
        except TimeoutError as error:
            if future.done():
                raise  # the work's own
            self.stop()
            raise WorkerTooSlow(f"the process for {self.name} took longer than {seconds:g} s and was ended") from error
        except (BrokenProcessPool, CancelledError) as error:
            raise WorkerDied(f"the process for {self.name} died in the middle of its work") from error

    def process_ids(self) -> list[int]:
        with self._lock:
            return [] if self._pool is None else list(self._pool._processes or ())

    def stop(self) -> None:
        """End the process now, whatever it is doing."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(threads: int, nice: int) -> None:
    for variable in ONE_EACH:
        os.environ[variable] = str(threads)
    # A terminal's Ctrl-C goes to the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if nice:
        os.nice(nice)
    threading.Thread(target=_end_with_parent, daemon=True, name="end-with-parent").start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
