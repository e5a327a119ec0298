"""Where objects come from when a folder, a file or a zip is de-identified: what there is, and its bytes."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 4 * 1024**3
"""Bytes of the largest object that is read."""


class Unreadable(Exception):
    """The bytes of a source can't be had; says nothing of its name."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or one member of a zip. ``key`` tells it from the others and from an earlier state of itself; it may
    name a patient, and so does the path, so that neither is shown."""

    path: Path = field(repr=False)
    member: str | None = field(repr=False)
    key: str = field(repr=False)

    def read(self) -> bytes:
        """All of its bytes.

        Raises:
            Unreadable: it is gone, too large, damaged or encrypted.
        """
        try:
            if self.member is None:
                with self.path.open("rb") as file:
                    data = file.read(LARGEST + 1)
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                    data = file.read(LARGEST + 1)
        # zipfile raises RuntimeError where a password is needed.
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, KeyError):
            raise Unreadable from None
        if len(data) > LARGEST:
            raise Unreadable
        return data


def sources(root: Path) -> Iterator[Source]:
    """All files below ``root``, in a settled order, with the members of zips in the place of the zip.

    Raises:
        OSError: ``root`` isn't there or can't be listed.
    """
    if not root.is_dir():
        yield from _of_file(root, root.name)
        return
    for folder, folders, names in os.walk(root, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file():
                yield from _of_file(path, os.fspath(path.relative_to(root)))


def _of_file(path: Path, name: str) -> Iterator[Source]:
    state = path.stat()
    key = f"{name}|{state.st_size}|{state.st_mtime_ns}"
    if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                members = [one for one in archive.infolist() if not one.is_dir()]
        except (zipfile.BadZipFile, OSError):
            members = []
        if members:
            for at, one in enumerate(members):
                yield Source(path, one.filename, f"{key}|{at}|{one.filename}|{one.CRC}")
            return
    yield Source(path, None, key)


def _raise(error: OSError) -> None:
    raise error
