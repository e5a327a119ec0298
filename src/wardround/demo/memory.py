"""How much memory each program took at its peak, with all that it started."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import psutil

LOOKED_AT_EVERY = 2.0


class MemoryWatch:
    """Looks at programs now and then; a context manager.

    `peaks` holds for each the largest sum, in bytes, of the proportional set sizes of its processes: a page that
    several share counts for each in part (Linux, /proc/PID/smaps_rollup), so that nothing is counted twice.
    """

    def __init__(self, programs: Callable[[], Mapping[str, int]]) -> None:
        self._programs = programs
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory", daemon=True)
        self.peaks: dict[str, int] = {}

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOKED_AT_EVERY):
            for name, pid in self._programs().items():
                self.peaks[name] = max(self.peaks.get(name, 0), tree_memory(pid))


def tree_memory(pid: int) -> int:
    """Bytes of a process and all below it, now; 0 for one that is gone."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                total += int(process.memory_full_info().pss)
            except psutil.Error:
                continue
    except psutil.NoSuchProcess:
        return total
    return total
