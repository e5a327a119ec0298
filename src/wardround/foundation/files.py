"""Files that are whole or absent: written aside, flushed, then renamed; and objects named by their digest."""

from __future__ import annotations

import os
import secrets
from hashlib import sha256
from pathlib import Path

from wardround.foundation.errors import NotFound, WardroundError


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write `data` so that after a crash at any moment `path` holds all of it or what it held before.

    The data and the directory entry are flushed to disk before this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)  # noqa: PTH105 - one rename, atomic on POSIX
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    flush_directory(path.parent)


def flush_directory(directory: Path) -> None:
    """Make renames and removals within `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ObjectMissing(NotFound, LookupError):
    """No object of this digest is here."""


class ObjectDamaged(WardroundError):
    """An object's bytes no longer match its name."""

    code = "object-damaged"


class ObjectStore:
    """Bytes under the SHA-256 digest of what they are: `ab/abcdef…`. Writing the same bytes twice keeps one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ObjectMissing("not a SHA-256 digest")
        return self.root / digest[:2] / digest

    def put(self, data: bytes) -> str:
        """Store `data`, flushed to disk, and return its digest."""
        digest = sha256(data).hexdigest()
        path = self.path(digest)
        if not path.exists():
            write_whole(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of `digest`, checked against it.

        Raises:
            ObjectMissing: there is no such object.
            ObjectDamaged: the file's bytes hash to something else.
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise ObjectMissing(f"no object {digest[:12]}… in this store") from None
        if sha256(data).hexdigest() != digest:
            raise ObjectDamaged(f"object {digest[:12]}… is damaged; restore it from a backup")
        return data

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def remove(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)
