"""What a round gives its sites, as it travels: in pieces, each packed once, whoever asks first."""

from __future__ import annotations

import os
import threading
from typing import IO

from wardround.federation.spool import Spool
from wardround.foundation.stored import PIECE, Held, Reader
from wardround.learning.arrays import ArraysRefused
from wardround.learning.wire import piece_packed, piece_unpacked

LEAST = 64 * 1024
"""What is smaller travels as it is."""


class Travelling:
    """The pieces of `held` in memory for one of them; packed ones lie in a file until nobody has this any more."""

    def __init__(self, held: Held, spool: Spool) -> None:
        self.held = held
        self._spool = spool
        self._plain = Reader(held)
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._places: dict[int, tuple[int, int]] = {}
        self._end = 0

    @property
    def size(self) -> int:
        """Of all of it, unpacked."""
        return self._plain.size

    def piece(self, index: int) -> tuple[bytes, bool]:
        """A piece, and whether it is packed. Raises `OSError`."""
        size = min(PIECE, self.size - index * PIECE)
        if size < LEAST or size % 4:
            return self._plain.at(index * PIECE, PIECE), False
        with self._lock:
            if self._file is None:
                self._file = self._spool.unnamed()
            place = self._places.get(index)
            if place is None:
                packed = piece_packed(self._plain.at(index * PIECE, size))
                os.pwrite(self._file.fileno(), packed, self._end)
                self._places[index] = self._end, len(packed)
                self._end += len(packed)
                return packed, True
            return os.pread(self._file.fileno(), place[1], place[0]), True


def arrived(body: memoryview, packed: bool, index: int, size: int) -> memoryview:
    """A piece as it was, of something of `size` bytes. Raises `ValueError`."""
    if not packed:
        return body
    try:
        return piece_unpacked(body, max(0, min(PIECE, size - index * PIECE)))
    except ArraysRefused as error:
        raise ValueError("a piece can't be unpacked") from error
