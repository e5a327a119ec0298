"""Where objects land: files whose names are on the disk before an object comes, each sealed when it is whole.

A process has one bay, a folder under `incoming/`, and holds its lock as long as it lives. The bay holds slots, empty
files that were made ahead and whose folder is flushed, so that one flush of the file makes an object durable. The
128 bytes of the preamble, which DICOM leaves to the writer (PS3.10 section 7.1), take the seal: length and digest of
what follows, and how it was routed. A file without a true seal was never acknowledged.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from wardround.dicom.errors import Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.foundation.files import flush_directory
from wardround.node.receive.route import Route

SLOTS = 64
"""Slots that are made at a time, with one flush of the folder."""
KEPT_READY = 256
PREAMBLE = 128
TRANSFER_SYNTAX = 0x00020010
_MAGIC = b"WARDSEAL"
_SEAL = struct.Struct("<8sQLL32sB63sQ")
_ROUTES = (Route.RESEARCH, Route.CLINIC, Route.BOTH, Route.DISCARD, Route.REFUSED)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_META = 64 * 1024
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Seal:
    """What the preamble of a whole object says.

    size: of the file, in bytes. start: where the data set begins. header: CRC-32 of the bytes between preamble and
    data set. digest: SHA-256 over transfer syntax and data set. route, rule: how it was routed. at: when it came.
    """

    size: int
    start: int
    header: int
    digest: bytes
    route: Route
    rule: str
    at: datetime

    def __bytes__(self) -> bytes:
        moment = (self.at - _EPOCH) // timedelta(microseconds=1)
        route = _ROUTES.index(self.route)
        return _SEAL.pack(_MAGIC, self.size, self.start, self.header, self.digest, route, self.rule.encode(), moment)

    @classmethod
    def read(cls, preamble: bytes) -> Seal | None:
        """The seal in a preamble; None if there is none."""
        if len(preamble) != PREAMBLE or not preamble.startswith(_MAGIC):
            return None
        _, size, start, header, digest, route, rule, moment = _SEAL.unpack(preamble)
        at = _EPOCH + timedelta(microseconds=moment)
        return cls(size, start, header, digest, _ROUTES[route], rule.rstrip(b"\0").decode("latin-1"), at)


@dataclass(frozen=True, slots=True)
class Whole:
    """An object that was found whole: its seal is true. `meta` is its file meta information by tag."""

    file: Path
    seal: Seal
    meta: dict[int, str]


def found_whole(file: Path) -> Whole | None:
    """The object in a file, every byte compared with its seal; None if it isn't whole.

    Raises:
        OSError: the file can't be read.
    """
    with file.open("rb") as opened:
        head = opened.read(_LARGEST_META)
        seal = Seal.read(head[:PREAMBLE])
        if seal is None or os.fstat(opened.fileno()).st_size != seal.size:
            return None
        try:
            meta, start = read_file_meta(head)
        except Refused:
            return None
        if start != seal.start or zlib.crc32(head[PREAMBLE:start]) != seal.header:
            return None
        content = sha256(meta.get(TRANSFER_SYNTAX, "").encode())
        opened.seek(start)
        while piece := opened.read(_PIECE):
            content.update(piece)
    return Whole(file, seal, meta) if content.digest() == seal.digest else None


@contextmanager
def one_at_a_time(incoming: Path) -> Iterator[None]:
    """Hold off every other process and thread that makes bays, registers what landed, or tidies up."""
    descriptor = os.open(incoming / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Bay:
    """The bay of this process, made when it is first used.

    Args:
        incoming: the folder of all bays, which is there.
        durable: flush the folder when slots are made.
    """

    def __init__(self, incoming: Path, *, durable: bool = True) -> None:
        self._incoming = incoming
        self._durable = durable
        self._slots: deque[Path] = deque()
        self._guard = threading.Lock()
        self._folder: Path | None = None
        self._lock = -1

    def take(self) -> Path:
        """An empty file whose name is on the disk. Raises OSError where none can be made."""
        try:
            return self._slots.popleft()
        except IndexError:
            with self._guard:
                if not self._slots:
                    self._make()
            return self.take()

    def give_back(self, slot: Path) -> None:
        """Take back a slot that was emptied."""
        self._slots.append(slot)

    def replenish(self) -> None:
        """Make slots until enough are ready; whoever has the time calls it, so that `take` needn't wait.

        Raises:
            OSError: the disk takes no more files.
        """
        with self._guard:
            while self._folder is not None and len(self._slots) < KEPT_READY:
                self._make()

    def close(self) -> None:
        """Remove the empty slots, and the bay if nothing else is in it."""
        with self._guard:
            while self._slots:
                self._slots.popleft().unlink(missing_ok=True)
            if self._folder is None:
                return
            with one_at_a_time(self._incoming):
                _remove(self._folder)
                os.close(self._lock)
            self._folder = None

    def _make(self) -> None:
        folder = self._folder or self._open()
        made = [folder / secrets.token_hex(16) for _ in range(SLOTS)]
        for slot in made:
            os.close(os.open(slot, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if self._durable:
            flush_directory(folder)
        self._slots.extend(made)

    def _open(self) -> Path:
        folder = self._incoming / secrets.token_hex(8)
        with one_at_a_time(self._incoming):
            folder.mkdir(mode=0o700)
            self._lock = _locked(folder)
        if self._durable:
            flush_directory(self._incoming)
        self._folder = folder
        return folder


@contextmanager
def left_behind(incoming: Path) -> Iterator[list[Path]]:
    """The bays of processes that are gone, held so that nobody else takes them; those that end up empty go."""
    held: dict[Path, int] = {}
    with one_at_a_time(incoming):
        for folder in sorted(incoming.iterdir()):
            if folder.is_dir():
                try:
                    held[folder] = _locked(folder)
                except BlockingIOError:
                    continue
    try:
        yield list(held)
    finally:
        with one_at_a_time(incoming):
            for folder, lock in held.items():
                _remove(folder)
                os.close(lock)


def waiting_files(incoming: Path) -> Iterator[Path]:
    """The files with something in them in all bays: what has landed, or is landing, and isn't in the index yet."""
    for folder in incoming.iterdir() if incoming.is_dir() else ():
        if folder.is_dir():
            for file in folder.iterdir():
                try:
                    if not file.name.startswith(".") and file.stat().st_size:
                        yield file
                except FileNotFoundError:
                    continue  # registered in the meantime


def _locked(folder: Path) -> int:
    """Hold the lock of a bay; raises BlockingIOError where its process lives."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def _remove(folder: Path) -> None:
    """Remove a bay in which only its lock is left."""
    if [file.name for file in folder.iterdir()] == [".lock"]:
        (folder / ".lock").unlink()
        folder.rmdir()
