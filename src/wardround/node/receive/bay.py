"""Where objects land: files whose names are on the disk before an object comes, each sealed when it is whole.

A process has one bay, a folder under `incoming/`, and holds its lock as long as it lives. The bay holds slots, empty
files that were made ahead and whose folder is flushed, so that one flush of the file makes an object durable. The
128 bytes of the preamble, which DICOM leaves to the writer (PS3.10 section 7.1), take the seal: length and checksums of
what follows, and how it was routed. A file without a true seal was never acknowledged.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from zlib_ng.zlib_ng import crc32

from wardround.dicom.errors import Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.foundation.files import flush_directory
from wardround.node.receive.arrival import Landed, content_digest
from wardround.node.receive.route import Route

SLOTS = 64
"""Slots of a bay that wasn't prepared."""
KEPT_READY = 2048
"""Slots of one that was. Making a file may take longer than filling it, where many were just removed: ext4 looks past
each of them."""
RUNNING_LOW = 256
"""Slots below which more are made even while objects come; also how many are made with one flush of the folder."""
PREAMBLE = 128
TRANSFER_SYNTAX = 0x00020010
_MAGIC = b"WARDSEAL"
_SEAL = struct.Struct("<8sQLLB63sQ")
_CHECK = struct.Struct("<L")
_ROUTES = (Route.RESEARCH, Route.CLINIC, Route.BOTH, Route.DISCARD, Route.REFUSED)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LARGEST_META = 64 * 1024
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Seal:
    """What the preamble of a whole object says; it ends with a CRC-32 of itself and the file meta information.

    size: of the file, in bytes. start: where the data set begins. content: CRC-32 of the data set. route, rule: how it
    was routed. at: when it came.
    """

    size: int
    start: int
    content: int
    route: Route
    rule: str
    at: datetime

    def preamble(self, meta: bytes | memoryview) -> bytes:
        """The preamble that goes before ``meta``, all from the prefix to the data set."""
        moment = (self.at - _EPOCH) // _MICROSECOND
        route = _ROUTES.index(self.route)
        seal = _SEAL.pack(_MAGIC, self.size, self.start, self.content, route, self.rule.encode(), moment)
        return seal.ljust(PREAMBLE - _CHECK.size, b"\0") + _CHECK.pack(crc32(meta, crc32(seal)))

    @classmethod
    def read(cls, head: bytes) -> Seal | None:
        """The seal at the beginning of a file, of which ``head`` holds at least what comes before the data set; None
        if there is none, or it or the file meta information isn't whole."""
        if len(head) < PREAMBLE or not head.startswith(_MAGIC):
            return None
        _, size, start, content, route, rule, moment = _SEAL.unpack_from(head)
        seal, meta = head[: _SEAL.size], head[PREAMBLE:start]
        if crc32(meta, crc32(seal)) != _CHECK.unpack_from(head, PREAMBLE - _CHECK.size)[0]:
            return None
        at = _EPOCH + moment * _MICROSECOND
        return cls(size, start, content, _ROUTES[route], rule.rstrip(b"\0").decode("latin-1"), at)


@dataclass(frozen=True, slots=True)
class Whole:
    """An object that was found whole: its seal is true. `meta` is its file meta information by tag, `digest` as in
    `Keys`."""

    landed: Landed
    seal: Seal
    meta: dict[int, str]
    digest: str


def found_whole(file: Path) -> Whole | None:
    """The object in a file, every byte compared with its seal; None if it isn't whole.

    Raises:
        OSError: the file can't be read.
    """
    with file.open("rb", buffering=0) as opened:
        head = opened.read(_LARGEST_META)
        seal = Seal.read(head)
        if seal is None or os.fstat(opened.fileno()).st_size != seal.size:
            return None
        try:
            meta, start = read_file_meta(head)
        except Refused:
            return None
        if start != seal.start:
            return None
        opened.seek(start)
        content = 0
        while piece := opened.read(_PIECE):
            content = crc32(piece, content)
        if content != seal.content:
            return None
        syntax = meta.get(TRANSFER_SYNTAX, "")
        digest = content_digest(opened.fileno(), start, syntax)
    return Whole(Landed(file, start, syntax, mark(seal.size - start, content, syntax)), seal, meta, digest)


def mark(size: int, content: int, transfer_syntax: str) -> int:
    """`Landed.mark` of a data set of ``size`` bytes with the CRC-32 ``content``. Under which file meta information it
    came makes no difference, as it makes none to its digest: a PACS sends the same object to two titles."""
    return size << 32 | content ^ crc32(transfer_syntax.encode())


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
        self._ready = SLOTS
        self._lock = -1

    def take(self) -> Path:
        """An empty file whose name is on the disk. Raises OSError where none can be made."""
        try:
            return self._slots.popleft()
        except IndexError:
            with self._guard:
                if not self._slots:
                    self._make(SLOTS)
            return self.take()

    def give_back(self, slot: Path) -> None:
        """Take back a slot that was emptied."""
        self._slots.append(slot)

    def prepare(self) -> None:
        """Open the bay and make its slots, before anything comes.

        Raises:
            OSError: the disk takes no more files.
        """
        with self._guard:
            self._ready = KEPT_READY
            self._make(RUNNING_LOW)
        self.replenish()

    def replenish(self, *, busy: bool = False) -> None:
        """Make slots until enough are ready; whoever has the time calls it, so that `take` needn't wait.

        Args:
            busy: only where they run low: making them takes from the disk what flushing objects needs.

        Raises:
            OSError: the disk takes no more files.
        """
        enough = min(RUNNING_LOW, self._ready) if busy else self._ready
        while self._folder is not None and len(self._slots) < enough:
            # `take` gets its turn in between.
            with self._guard:
                if self._folder is not None:
                    self._make(min(RUNNING_LOW, self._ready))

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

    def _make(self, count: int) -> None:
        folder = self._folder or self._open()
        batch = secrets.token_hex(12)
        made = [folder / f"{batch}{number:08x}" for number in range(count)]
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
