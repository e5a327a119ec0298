"""What a program does by itself: ticks, each one function, from one thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from wardround.foundation.errors import Unreachable

_log = logging.getLogger(__name__)

PAUSE = 0.2
PAUSE_AFTER_FAILURE = 2.0


class Loop:
    """Calls each tick in turn until stopped; a tick that fails is logged and called again later.

    Args:
        pause: seconds between two rounds of ticks.
        close: called once after the last tick.
    """

    def __init__(
        self,
        name: str,
        ticks: Sequence[Callable[[], object]],
        *,
        pause: float = PAUSE,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._name = name
        self._pause = pause
        self._ticks = ticks
        self._close = close
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
            for tick in self._ticks:
                try:
                    tick()
                except Unreachable:
                    pause = PAUSE_AFTER_FAILURE
                except Exception:
                    # Whatever a tick raised, the loop's thread must not end unseen: nothing would start it again.
                    _log.exception("a step of the loop failed; it is tried again")
                    pause = PAUSE_AFTER_FAILURE
