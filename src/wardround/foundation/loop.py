"""What a program does by itself: ticks, each one function, from one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from wardround.foundation.database import Changes, Database
from wardround.foundation.errors import Unreachable

_log = logging.getLogger(__name__)

PAUSE = 0.2
PAUSE_AFTER_FAILURE = 2.0
REST = 2.0


class Loop:
    """Calls each tick in turn until stopped; a tick that fails is logged and called again later.

    Args:
        pause: seconds between two rounds of ticks.
        told: the database in which everything stands that the ticks look for. While nobody writes to it a round is
            left out, but for one every `rest` seconds: for what time alone makes due, and what is tried again.
        close: called once after the last tick.
    """

    def __init__(
        self,
        name: str,
        ticks: Sequence[Callable[[], object]],
        *,
        pause: float = PAUSE,
        told: Database | None = None,
        rest: float = REST,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._name = name
        self._pause = pause
        self._ticks = ticks
        self._close = close
        self._changes = None if told is None else Changes(told)
        self._rest = rest
        self._next = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._close is not None:
            self._close()

    def _run(self) -> None:
        pause = self._pause
        while not self._stopping.wait(pause):
            pause = self._pause
            if not self._due():
                continue
            for tick in self._ticks:
                try:
                    tick()
                except Unreachable:
                    pause = PAUSE_AFTER_FAILURE
                except Exception:
                    # Whatever a tick raised, the loop's thread must not end unseen: nothing would start it again.
                    _log.exception("a step of the loop failed; it is tried again")
                    pause = PAUSE_AFTER_FAILURE

    def _due(self) -> bool:
        """Whether to call the ticks now. What they themselves write is looked at once more, in the next round."""
        moment = time.monotonic()
        if self._changes is not None and not self._changes.any() and moment < self._next:
            return False
        self._next = moment + self._rest
        return True
