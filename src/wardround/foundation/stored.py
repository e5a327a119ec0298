"""Bytes that lie in a file, for those who would rather not hold them: read in pieces, or mapped."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

PIECE = 2 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """The first `size` bytes of a file that nobody changes as long as this is in use.

    It crosses to another process of this machine as its path. Whoever made the file removes it, unless what it is
    given to says otherwise.
    """

    path: Path
    size: int

    @classmethod
    def of(cls, path: Path) -> Stored:
        """The whole file as it is now. Raises `OSError`."""
        return cls(path, path.stat().st_size)

    def __len__(self) -> int:
        return self.size

    def discard(self) -> None:
        """Remove the file; what is mapped of it stays readable."""
        self.path.unlink(missing_ok=True)


Held = bytes | Stored
"""Bytes in memory or in a file."""


def view(held: Held) -> memoryview:
    """All of it, to read; pages of a file are read when they are looked at, and belong to no one.

    Raises:
        OSError: the file can't be read, or is shorter than it should be.
    """
    if isinstance(held, bytes):
        return memoryview(held)
    with held.path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < held.size:
            raise OSError(f"a file of {held.size} bytes is shorter than that")
        if held.size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), held.size, access=mmap.ACCESS_READ))


class Reader:
    """Reads any part of what is held. Nothing of a file is mapped, and it may be removed meanwhile.

    Raises:
        OSError: the file can't be opened, or read, or is shorter than it should be.
    """

    def __init__(self, held: Held) -> None:
        self._bytes = held if isinstance(held, bytes) else b""
        self._file = None if isinstance(held, bytes) else held.path.open("rb", buffering=0)
        self.size = len(held)

    def at(self, start: int, length: int) -> bytes:
        """`length` bytes from `start` on, fewer where the end is nearer."""
        length = max(0, min(length, self.size - start))
        if self._file is None:
            return self._bytes[start : start + length]
        data = os.pread(self._file.fileno(), length, start)
        if len(data) != length:
            raise OSError(f"a file of {self.size} bytes is shorter than that")
        return data


def content(held: Held) -> bytes:
    """All of it, in memory. Raises `OSError` as `view` does."""
    return held if isinstance(held, bytes) else bytes(view(held))


def pieces(held: Held) -> Iterator[bytes | memoryview]:
    """All of it in its order, a few megabytes at a time; a file is read, not mapped. Raises `OSError`."""
    if isinstance(held, bytes):
        whole = memoryview(held)
        yield from (whole[start : start + PIECE] for start in range(0, len(whole), PIECE))
        return
    left = held.size
    with held.path.open("rb", buffering=0) as file:
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                raise OSError(f"a file of {held.size} bytes is shorter than that")
            left -= len(piece)
            yield piece


def digest_of(held: Held) -> str:
    """SHA-256 in hexadecimal. Raises `OSError` as `pieces` does."""
    state = sha256()
    for piece in pieces(held):
        state.update(piece)
    return state.hexdigest()
