"""Work that goes on while whoever asked for it goes on: it tells how far it is, can be given up, and is told of after.

Under each name goes one piece of work at a time. What is under way stands in memory alone: of work that a program was
ended over nothing was done, and it is asked for again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from wardround.foundation.errors import Conflict, NotFound, WardroundError

log = logging.getLogger(__name__)
R = TypeVar("R")

AT_ONCE = 4
"""So many pieces of work go on beside each other; others wait their turn."""


class GivenUp(WardroundError):
    """Somebody, or the end of the program, had the work not be done."""

    code = "given-up"


@dataclass(frozen=True, slots=True)
class Far:
    """How far work is: `words` for what is done now, after `done` of `steps` steps."""

    words: str
    done: int
    steps: int


class Job(Generic[R]):
    """One piece of work, under way or over. `since`: when it was asked for.

    The work calls `tell`, `check` and `settle`; from any other thread it is looked at and given up.
    """

    def __init__(self, since: datetime) -> None:
        self.since = since
        self.far: Far | None = None
        self._result: Future[R] = Future()
        self._lock = threading.Lock()
        self._given_up = self._settled = False
        self._stop: Callable[[], object] | None = None

    def tell(self, words: str, done: int, steps: int) -> None:
        """Say how far it is. Raises `GivenUp` as `check`."""
        self.check()
        self.far = Far(words, done, steps)

    def check(self) -> None:
        """Raises `GivenUp` once it was."""
        if self._given_up:
            raise GivenUp("it was given up before it was done")

    def settle(self) -> None:
        """From here on it can't be given up any more: the last step in a transaction, before that is committed. Raises
        `GivenUp` where it was before."""
        with self._lock:
            self.check()
            self._settled = True

    @contextmanager
    def ended_by(self, stop: Callable[[], object]) -> Iterator[None]:
        """While this goes on, whoever gives it up calls `stop`, which ends what it waits for. Raises `GivenUp`."""
        with self._lock:
            self.check()
            self._stop = stop
        try:
            yield
        finally:
            with self._lock:
                self._stop = None

    def give_up(self) -> bool:
        """Have it not be done; False where that is too late."""
        with self._lock:
            if self._settled or self._result.done():
                return False
            self._given_up = True
            if self._stop is not None:
                self._stop()
        return True

    @property
    def under_way(self) -> bool:
        """Also while what was given up comes to its end."""
        return not self._result.done()

    @property
    def given_up(self) -> bool:
        return self._given_up

    @property
    def fault(self) -> str:
        """Why it came to nothing, for people; empty otherwise."""
        error = self._result.exception() if self._result.done() else None
        if error is None or isinstance(error, WardroundError):
            return str(error or "")
        return "a fault of this program; its log says where"

    def result(self, within: float | None = None) -> R:
        """What came of it, or its exception. Raises `TimeoutError` after so many seconds."""
        return self._result.result(within)

    def over_within(self, seconds: float) -> bool:
        """Wait for its end, no longer than that; whether it is over."""
        try:
            self._result.exception(seconds)
        except TimeoutError:
            return False
        return True

    def begin(self, threads: ThreadPoolExecutor, work: Callable[[Job[R]], R]) -> Future[R]:
        """Have it done by one of these threads."""
        self._result = threads.submit(self._do, work)
        return self._result

    def _do(self, work: Callable[[Job[R]], R]) -> R:
        self.check()
        return work(self)


class Jobs(Generic[R]):
    """Jobs of one kind, by name. `kind` names their threads and stands in the log."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._newest: dict[str, Job[R]] = {}
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix=kind)

    def start(self) -> None:
        """Nothing to do: threads begin with their first work."""

    def stop(self) -> None:
        """Give up what is under way; returns once it has ended."""
        with self._lock:
            for job in self._newest.values():
                job.give_up()
        self._threads.shutdown(wait=True)

    def of(self, name: str) -> Job[R] | None:
        """The newest of that name since this program was started."""
        return self._newest.get(name)

    def begin(self, name: str, work: Callable[[Job[R]], R], *, at: datetime) -> Job[R]:
        """Begin work and return at once. Raises `Conflict` where work of that name is under way."""
        with self._lock:
            return self._begin(name, work, at)

    def join(self, name: str, work: Callable[[Job[R]], R], *, at: datetime) -> Job[R]:
        """The work of that name that is under way, or else what begins now."""
        with self._lock:
            before = self._newest.get(name)
            return before if before is not None and before.under_way else self._begin(name, work, at)

    def give_up(self, name: str) -> None:
        """Have work not be done: once this returns, it won't be.

        Raises:
            NotFound: none of that name is under way.
            Conflict: it is as good as done.
        """
        job = self._newest.get(name)
        if job is None or not job.under_way:
            raise NotFound(f"nothing is under way of {name}")
        if not job.give_up():
            raise Conflict(f"it is too late to give up {name}: it is being kept")

    def _begin(self, name: str, work: Callable[[Job[R]], R], at: datetime) -> Job[R]:
        before = self._newest.get(name)
        if before is not None and before.under_way:
            raise Conflict(f"{name} is under way already; wait for it, or give it up")
        job = self._newest[name] = Job(at)
        job.begin(self._threads, work).add_done_callback(partial(self._over, name))
        return job

    def _over(self, name: str, result: Future[R]) -> None:
        error = result.exception()
        if error is not None and not isinstance(error, WardroundError):
            log.error("%s of %s failed", self._kind, name, exc_info=error)
