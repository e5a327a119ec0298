"""A model package as one file: a ZIP that is the same bytes for the same package, and is unpacked with care."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from wardround.foundation.files import write_whole
from wardround.learning.bundle import BundleRefused

LARGEST_PACKAGE = 2 * 1024**3
MOST_FILES = 1000
# The earliest moment that ZIP can hold: a real one would make two archives of one package differ.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
# Damaged, encrypted, or compressed by a method that isn't here; and headers that contradict themselves.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, struct.error, ValueError, OSError)


def pack(directory: Path) -> bytes:
    """The files of a package, in the order of their names, uncompressed and without times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(directory.rglob("*")):
            name = path.relative_to(directory)
            if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.parts):
                info = zipfile.ZipInfo(name.as_posix(), _NO_TIME)
                info.external_attr = 0o644 << 16
                archive.writestr(info, path.read_bytes())
    return buffer.getvalue()


def unpack(data: bytes, target: Path) -> None:
    """Write the files of an archive below `target`, which must not exist.

    Raises:
        BundleRefused: `unreadable`; `unsafe-name`, a name leads out of the package; `too-large`.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = [info for info in archive.infolist() if not info.filename.endswith("/")]
    except _UNREADABLE as error:
        raise BundleRefused("unreadable", "the model package is not a ZIP archive") from error
    if len(members) > MOST_FILES or sum(info.file_size for info in members) > LARGEST_PACKAGE:
        raise BundleRefused("too-large", f"the model package is over {MOST_FILES} files or {LARGEST_PACKAGE} bytes")
    for info in members:
        name = PurePosixPath(info.filename)
        if not name.parts or name.is_absolute() or ".." in name.parts or "\\" in info.filename or ":" in info.filename:
            raise BundleRefused("unsafe-name", "a name in the model package leads out of it")
    names = [PurePosixPath(info.filename) for info in members]
    if len(set(names)) < len(names) or any(parent in set(names) for name in names for parent in name.parents):
        raise BundleRefused("unsafe-name", "two files in the model package have one name")
    try:
        if archive.testzip() is not None:
            raise zipfile.BadZipFile
    except (*_UNREADABLE, EOFError) as error:
        raise BundleRefused("unreadable", "a file in the model package is damaged or packed in another way") from error
    target.mkdir(parents=True)
    for name, info in zip(names, members, strict=True):
        write_whole(target / name, archive.read(info), mode=0o644)
