"""How many associations may be open at once, in one process or in several that share a port."""

from __future__ import annotations

import fcntl
import threading


class ProcessSeats:
    """Counts the associations that are open in this process."""

    def __init__(self, seats: int) -> None:
        self._free = threading.Semaphore(seats)

    def take(self) -> bool:
        """Take a seat if there is one."""
        return self._free.acquire(blocking=False)

    def free(self) -> None:
        """Give a seat back."""
        self._free.release()


class SharedSeats:
    """Counts the associations that are open in several processes, each with one of these on the same file.

    A seat is a byte of the file that the process has locked. Such locks are a process's own and end with it, however
    that ends, so that no seat is lost.

    Args:
        descriptor: of the file, open for writing. Nothing else in this process may open it: to close it there would
            let go of the locks.
    """

    def __init__(self, descriptor: int, seats: int) -> None:
        self._descriptor = descriptor
        self._seats = seats
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a seat if there is one."""
        with self._lock:
            for seat in range(self._seats):
                if seat not in self._taken and self._locked(seat):
                    self._taken.add(seat)
                    return True
        return False

    def free(self) -> None:
        """Give a seat back."""
        with self._lock:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._taken.pop())

    def _locked(self, seat: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, seat)
        except OSError:
            return False
        return True
