"""What happened on the wire, counted by cause."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Tally:
    """Counts codes such as ``refused-called-title``; for any thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, code: str) -> None:
        """One more of ``code``."""
        with self._lock:
            self._counts[code] += 1

    def counts(self) -> Mapping[str, int]:
        """How many of each so far."""
        with self._lock:
            return dict(self._counts)
