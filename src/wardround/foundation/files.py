"""Files that are whole or absent: written aside, flushed, then renamed; and objects named by their digest.

A file is written under another name, its bytes are flushed, and only then it gets its own name; so a name never
stands for bytes that a crash could take back. `ObjectStore.batch` does that for many objects with one flush.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from wardround.foundation.errors import NotFound, WardroundError
from wardround.foundation.stored import Held, Stored, digest_of, pieces

ASIDE = ".aside"
"""The folder of an object store in which objects lie until they are flushed; what a crash leaves there is rubbish."""

_MOST_IN_A_BATCH = 256
_WORTH_ONE_FLUSH = 8


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


def disk_full(error: BaseException) -> bool:
    """Whether an error of the operating system or of a database says that a disk, or a share of it, is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(words in str(error) for words in ("disk is full", os.strerror(errno.ENOSPC)))


class ObjectMissing(NotFound, LookupError):
    """No object of this digest is here."""


class ObjectDamaged(WardroundError):
    """An object's bytes no longer match its name."""

    code = "object-damaged"


@cache
def _syncfs() -> Callable[[int], int] | None:
    """syncfs(2), where its result can be trusted: Linux reports a failed write through it since 5.8."""
    if platform.system() != "Linux":
        return None
    major, minor = (int(number) for number in platform.release().split("-")[0].split(".")[:2])
    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
    return function if (major, minor) >= (5, 8) else None


class Flush:
    """Flushes many files of one file system with one call.

    Make it before the files are written: only what fails to be written after that is reported. With syncfs(2), for
    eight files and more, it also waits for what others have written to that file system until then.

    Args:
        directory: any directory of that file system; it must exist.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.close(self._descriptor)

    def files(self, paths: Iterable[Path]) -> None:
        """Make the bytes and names of `paths`, files or directories, durable; all are closed by whoever wrote them.

        Raises:
            OSError: the disk failed; which of them are durable isn't known.
        """
        paths = list(paths)
        whole = _syncfs() if len(paths) >= _WORTH_ONE_FLUSH else None
        if whole is not None:
            if whole(self._descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            return
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


class ObjectStore:
    """Bytes under the SHA-256 digest of what they are: `ab/abcdef…`. Writing the same bytes twice keeps one.

    Putting an object that is there already renews its time of modification, so that whoever clears away objects
    that nothing names can spare one which is about to be named (`put_since`).
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ObjectMissing("not a SHA-256 digest")
        return self.root / digest[:2] / digest

    def put(self, data: Held) -> str:
        """Store `data`, flushed to disk, and return its digest. Of a file no copy is made where it can be linked to: it
        must not change any more, and may be removed.
        """
        with self.batch() as batch:
            return batch.put(data)

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Store several objects with one flush: at the end of the block all of them are durable and have their names.

        A block that raises leaves none of its unflushed objects behind. A crash at any moment leaves whole objects
        under their names, and in `.aside` what had none yet. For one thread; several batches may run at once.
        """
        made = _directory(self.root) | _directory(self.root / ASIDE)
        if made:
            flush_directory(self.root.parent)
            flush_directory(self.root)
        with Flush(self.root) as flush:
            batch = Batch(self, flush)
            try:
                yield batch
                batch.flush()
            finally:
                batch.discard()

    def take(self, asides: Mapping[str, Path], flush: Flush, touched: Iterable[Path] = ()) -> None:
        """Give files that lie aside, by digest, their names, once their bytes are durable; then flush the names.

        Args:
            flush: made before the files were written.
            touched: further folders of the store whose names are to be flushed.

        Raises:
            OSError: the disk failed or is full; which of them have their names isn't known.
        """
        flush.files(asides.values())
        folders = {self.path(digest).parent for digest in asides} | set(touched)
        made = [_directory(folder) for folder in folders]
        if any(made):
            folders.add(self.root)
        for digest, aside in asides.items():
            os.replace(aside, self.path(digest))  # noqa: PTH105 - one rename, atomic on POSIX
        flush.files(folders)

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

    def held(self, digest: str) -> Stored:
        """The object of `digest` where it lies, checked against it. Raises as `get`."""
        try:
            found = Stored.of(self.path(digest))
            whole = digest_of(found) == digest
        except FileNotFoundError:
            raise ObjectMissing(f"no object {digest[:12]}… in this store") from None
        if not whole:
            raise ObjectDamaged(f"object {digest[:12]}… is damaged; restore it from a backup")
        return found

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def size(self, digest: str) -> int | None:
        """Bytes of the object's file, or None if there is none."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def put_since(self, digest: str, moment: float) -> bool:
        """Whether the object was put, or put again, at or after `moment` (seconds since 1970)."""
        try:
            return self.path(digest).stat().st_mtime >= moment
        except FileNotFoundError:
            return False

    def remove(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        """The names of all objects, in rising order; one shard is listed at a time."""
        for shard in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(shard.iterdir()):
                if len(path.name) == 64 and not path.name.startswith("."):
                    yield path.name

    def rubbish(self) -> Iterator[Path]:
        """Files that a crash left behind before they had a name."""
        for pattern in (f"{ASIDE}/*", "[0-9a-f][0-9a-f]/.*"):
            yield from self.root.glob(pattern)


def _linked(data: Held, name: Path) -> bool:
    """Give a file another name, if it is one that lies whole on the same file system."""
    if not isinstance(data, Stored) or data.path.is_symlink() or data.path.stat().st_size != data.size:
        return False
    try:
        os.link(data.path, name)
        os.utime(name)
    except OSError:
        return False
    return True


class Batch:
    """Objects on their way into a store; see `ObjectStore.batch`."""

    def __init__(self, store: ObjectStore, flush: Flush) -> None:
        self._store = store
        self._flush = flush
        self._waiting: dict[str, Path] = {}
        self._touched: set[Path] = set()

    def put(self, data: Held) -> str:
        """Take `data` in and return its digest; it has its name once the batch is flushed. A file as with
        `ObjectStore.put`.
        """
        digest = digest_of(data)
        if digest in self._waiting:
            return digest
        path = self._store.path(digest)
        # Of an object that is there already too: another batch may have named it and not flushed the name yet.
        self._touched.add(path.parent)
        try:
            os.utime(path)
        except FileNotFoundError:
            aside = self._store.root / ASIDE / secrets.token_hex(12)
            self._waiting[digest] = aside
            if not _linked(data, aside):
                descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.writelines(pieces(data))
            if len(self._waiting) >= _MOST_IN_A_BATCH:
                self.flush()
        return digest

    def flush(self) -> None:
        """Make what was put durable and give it its names now; the batch goes on.

        Raises:
            OSError: the disk failed or is full; what has no name yet is discarded at the end of the batch.
        """
        self._store.take(self._waiting, self._flush, self._touched)
        self._waiting.clear()
        self._touched.clear()

    def discard(self) -> None:
        """Forget what has no name yet."""
        for aside in self._waiting.values():
            aside.unlink(missing_ok=True)
        self._waiting.clear()


def _directory(path: Path) -> bool:
    """Make a directory that only its owner enters; whether it wasn't there."""
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return False
    return True
