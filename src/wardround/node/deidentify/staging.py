"""Clean objects on their way into the object store: written by other processes, flushed and named here in groups."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

from wardround.foundation.files import ASIDE, Flush, ObjectStore, flush_directory

PREFIX = "intake-"
"""How the names of files begin that are on their way; others may have theirs in the same folder."""


def aside_name() -> str:
    """A name that nobody has yet."""
    return PREFIX + secrets.token_hex(12)


class Staging:
    """Takes files that lie in the store's `.aside` into the store.

    The one `Flush` is opened before any of them is written, so that no failed write goes unreported.

    Args:
        objects: the store; its folders are made here.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.aside = objects.root / ASIDE
        for directory in (objects.root, self.aside):
            if not directory.is_dir():
                directory.mkdir(parents=True, mode=0o700)
                flush_directory(directory.parent)
        self._flush = Flush(objects.root)

    def take(self, files: Iterable[tuple[str, Path]]) -> None:
        """Make files durable under their digests. A crash leaves each of them whole under its name, or aside.

        Raises:
            OSError: the disk failed or is full; which of them have their names isn't known.
        """
        waiting: dict[str, Path] = {}
        for digest, aside in files:
            if waiting.setdefault(digest, aside) != aside:
                aside.unlink(missing_ok=True)
        if waiting:
            self._objects.take(waiting, self._flush)

    def drop(self, files: Iterable[Path]) -> None:
        """Remove files that are not to be kept."""
        for file in files:
            file.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what a crash left aside. Only while no crew is at work."""
        self.drop(list(self.aside.glob(f"{PREFIX}*")))

    def close(self) -> None:
        self._flush.__exit__(None, None, None)
