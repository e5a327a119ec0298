"""How long to wait before trying again."""

from __future__ import annotations

import threading
from random import uniform

FIRST = 0.2
LONGEST = 30.0


class Patience:
    """Waits that double up to 30 seconds, each shortened by up to half at random, so that the nodes of a hub that
    comes back don't call it all at once."""

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def wait(self, stop: threading.Event) -> None:
        """Wait for the next interval, or until `stop` is set."""
        stop.wait(self._next * uniform(0.5, 1))  # noqa: S311 - spreads load, keeps no secret
        self._next = min(self._longest, self._next * 2)

    def reset(self) -> None:
        self._next = self._first
