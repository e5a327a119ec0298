"""FLARE's pauses between a job's submission and its start, as short as they can be.

Its scheduler looks for new jobs once a second, a job's process at the hub asks once a second who takes part, and one at
a site every half second whether the hub's is there. Each module of FLARE that pauses so is given another `time`.
"""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

SHORT = 0.05


class Bell:
    """`time` for a module whose threads sleep between two looks at something: :meth:`ring` ends their sleep.

    Each thread hears every ring, one that came while it was at work as well.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rings = 0
        self._heard = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def ring(self) -> None:
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        heard = getattr(self._heard, "rings", 0)
        with self._changed:
            self._changed.wait_for(lambda: self._rings != heard, seconds)
            self._heard.rings = self._rings


class Shortened:
    """`time` for a module in which a pause of just `long` seconds is a short one; others stay as they are."""

    def __init__(self, long: float) -> None:
        self._long = long

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        time.sleep(SHORT if seconds == self._long else seconds)


SCHEDULER = Bell()
"""Rung where a job was handed in."""


def shorten(role: str) -> None:
    """In the process of this role, before FLARE's main function runs. Fails if FLARE has no such modules any more."""
    if role == "server":
        _give("nvflare.private.fed.server.job_runner", SCHEDULER)
    elif role == "server-job":
        # It is there before the server has noted that it is.
        _give("nvflare.private.fed.server.server_engine", Shortened(1.0))
    elif role == "client-job":
        # Whether the hub's process of the leg is there, and whether this site's client knows that this one is.
        _give("nvflare.private.fed.client.client_runner", Shortened(0.5))
        _give("nvflare.private.fed.client.client_app_runner", Shortened(0.5))


def _give(name: str, clock: Bell | Shortened) -> None:
    module: Any = importlib.import_module(name)
    if module.time is not time and type(module.time) is not type(clock):
        raise RuntimeError(f"{name} has another notion of time than expected")
    module.time = clock
