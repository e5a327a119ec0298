"""What lies in folders and zips that somebody brings: file by file, each open for reading, nothing unpacked to a name.

A zip is opened wherever its bytes begin as one, also within another. What its directory claims is compared with the
`Bounds` before anything is read, and no more than was claimed is read. Names are shown to whoever runs the command
and are used for nothing else. (ZIP: PKWARE APPNOTE 6.3, sections 4.3 and 4.4.)
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

MISSING = "no-such-path"
LINK = "link-not-followed"
SPECIAL = "not-a-file"
UNREADABLE = "file-unreadable"
DAMAGED = "zip-damaged"
ENCRYPTED = "zip-encrypted"
UNSAFE_NAME = "zip-unsafe-name"
TOO_DEEP = "zip-too-deep"
TOO_MANY = "zip-too-many"
TOO_LARGE = "zip-too-large"
NO_SPACE = "zip-no-space"

READ_ERRORS = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)
"""What a damaged zip or disk may raise. `zipfile` says RuntimeError for a password and NotImplementedError for a
method of compression that it doesn't know."""
_PIECE = 1 << 20
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = 20
_END64 = struct.Struct("<4sQ2H2L4Q")
_LONGEST_COMMENT = 0xFFFF
_SMALLEST_ENTRY = 46
_LARGEST_ENTRY = 1024
"""Bytes that a member takes in a zip's directory, on average, where it isn't made to mislead."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a zip is believed, all zips within it counted.

    depth: of zips within zips, the outermost being 1. members: of all together. free_bytes: what it may unpack to,
    however small it is. ratio: beyond that, how many times its own size. Empty images are packed a thousandfold, so
    that a bound on each file would refuse true ones.
    """

    depth: int = 4
    members: int = 1_000_000
    free_bytes: int = 2 * 1024**3
    ratio: int = 100


@dataclass(frozen=True, slots=True)
class Found:
    """A file. `stream` is at its beginning and is closed when the next one is asked for; `weight` is how many bytes of
    the files on disk it stands for."""

    name: str = field(repr=False)
    stream: IO[bytes] = field(repr=False)
    weight: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that isn't looked at; `reason` is one of this module's codes."""

    name: str = field(repr=False)
    reason: str
    weight: int = 0


class Parcels:
    """The files below some paths.

    Args:
        paths: folders and files.
        spool: a folder on a disk with room. A zip in a zip lies there, in a file without a name, while it is open.
    """

    def __init__(self, paths: list[Path], *, spool: Path, bounds: Bounds | None = None) -> None:
        self._paths = paths
        self._spool = spool
        self._bounds = bounds or Bounds()

    def weight(self) -> int:
        """Bytes of all files on disk, for a progress bar."""
        total = 0
        for path in self._paths:
            for file in self._files(path):
                if isinstance(file, Path):
                    try:
                        total += file.stat().st_size
                    except OSError:
                        continue
        return total

    def __iter__(self) -> Iterator[Found | Skipped]:
        for path in self._paths:
            for file in self._files(path):
                if isinstance(file, Skipped):
                    yield file
                else:
                    yield from self._file(file)

    def _files(self, path: Path) -> Iterator[Path | Skipped]:
        """Files in a settled order. A link below a folder isn't followed: it may lead anywhere, or in a circle."""
        if not path.is_dir():
            yield path if path.is_file() else Skipped(str(path), SPECIAL if path.exists() else MISSING)
            return
        failed: list[Skipped] = []
        for folder, folders, names in os.walk(
            path, onerror=lambda error: failed.append(Skipped(str(error.filename), UNREADABLE))
        ):
            folders.sort()
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in sorted([*names, *links]):
                file = Path(folder, name)
                if file.is_symlink():
                    yield Skipped(str(file), LINK)
                elif file.is_file():
                    yield file
                else:
                    yield Skipped(str(file), SPECIAL)
        yield from failed

    def _file(self, path: Path) -> Iterator[Found | Skipped]:
        try:
            file = path.open("rb")
        except OSError:
            yield Skipped(str(path), UNREADABLE)
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            try:
                head = file.read(132)
                file.seek(0)
            except OSError:
                yield Skipped(str(path), UNREADABLE, size)
                return
            if not _is_zip(head):
                yield Found(str(path), file, size)
                return
            yield from self._zip(file, str(path), _Allowance(self._bounds, size), 1)

    def _zip(self, file: IO[bytes], name: str, allowance: _Allowance, depth: int) -> Iterator[Found | Skipped]:
        try:
            refused = TOO_DEEP if depth > self._bounds.depth else allowance.members(_claimed_members(file))
            if refused is not None:
                yield Skipped(name, refused)
                return
            archive = zipfile.ZipFile(file)
        except READ_ERRORS:
            yield Skipped(name, DAMAGED)
            return
        with archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            refused = allowance.unpack(sum(member.file_size for member in members))
            if refused is not None:
                yield Skipped(name, refused)
                return
            for member in members:
                weight = member.compress_size if depth == 1 else 0
                yield from self._member(archive, member, f"{name}!{member.filename}", weight, allowance, depth)

    def _member(
        self,
        archive: zipfile.ZipFile,
        member: zipfile.ZipInfo,
        name: str,
        weight: int,
        allowance: _Allowance,
        depth: int,
    ) -> Iterator[Found | Skipped]:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind == stat.S_IFLNK:
            yield Skipped(name, LINK, weight)
        elif kind not in (0, stat.S_IFREG):
            yield Skipped(name, SPECIAL, weight)
        elif _unsafe(member.filename):
            yield Skipped(name, UNSAFE_NAME, weight)
        elif member.flag_bits & 1:
            yield Skipped(name, ENCRYPTED, weight)
        else:
            try:
                with archive.open(member) as stream:
                    head = stream.read(132)
                nested = tempfile.TemporaryFile(dir=self._spool) if _is_zip(head) else None  # noqa: SIM115 - closed below
            except READ_ERRORS:
                yield Skipped(name, DAMAGED, weight)
                return
            if nested is None:
                with archive.open(member) as stream:
                    yield Found(name, stream, weight)
                return
            with nested:
                try:
                    with archive.open(member) as stream:
                        while piece := stream.read(_PIECE):
                            nested.write(piece)
                    nested.seek(0)
                except READ_ERRORS as error:
                    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
                    yield Skipped(name, NO_SPACE if full else DAMAGED, weight)
                    return
                yield from self._zip(nested, name, allowance, depth + 1)


class _Allowance:
    """What a zip on disk and all zips within it may still come to."""

    def __init__(self, bounds: Bounds, size: int) -> None:
        self._members = bounds.members
        self._bytes = max(bounds.free_bytes, bounds.ratio * size)

    def members(self, count: int) -> str | None:
        self._members -= count
        return TOO_MANY if self._members < 0 else None

    def unpack(self, size: int) -> str | None:
        self._bytes -= size
        return TOO_LARGE if self._bytes < 0 else None


def _is_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06") and head[128:132] != b"DICM"


def _unsafe(name: str) -> bool:
    """A name that, unpacked by somebody else, would end up outside of the folder it is unpacked to."""
    parts = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    return parts.is_absolute() or ".." in parts.parts or drive or any(not one.isprintable() for one in name)


def _claimed_members(file: IO[bytes]) -> int:
    """How many members a zip says that it has, read from its end before anybody reads its directory; it is set back
    to its beginning.

    Raises:
        zipfile.BadZipFile: it has no end, or its directory is out of proportion to that number.
    """
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END.size - _LONGEST_COMMENT - _END64_LOCATOR - _END64.size)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise zipfile.BadZipFile("no end of central directory")
    _, _, _, _, members, directory, _, _ = _END.unpack_from(tail, at)
    record = at - _END64_LOCATOR - _END64.size
    if record >= 0 and tail.startswith(b"PK\x06\x07", at - _END64_LOCATOR):
        members, directory = _END64.unpack_from(tail, record)[7:9]
    file.seek(0)
    if directory > (members + 1) * _LARGEST_ENTRY:
        raise zipfile.BadZipFile("the central directory is larger than its members need")
    return max(int(members), int(directory) // _SMALLEST_ENTRY)
