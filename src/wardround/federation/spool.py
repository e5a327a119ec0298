"""Where a leg's larger bytes lie: files of its own, gone with it."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from wardround.foundation.stored import PIECE, Held, Stored


class Spool:
    """Files of one leg in `folder`, their names beginning with `prefix`; without a folder, in a temporary one.

    What fits one piece stays in memory. `close` removes all that is left.
    """

    def __init__(self, folder: Path | None = None, prefix: str = "leg") -> None:
        self._given = folder
        self._made: Path | None = None
        self._prefix = prefix
        self._count = itertools.count()

    def new(self) -> Path:
        """A path that is free, and that nobody else is given."""
        return self._folder() / f"{self._prefix}-{next(self._count)}"

    def keep(self, parts: Iterable[bytes | memoryview], size: int) -> Held:
        """The `size` bytes of `parts`, on disk if they are more than a piece. Raises `ValueError` if they aren't so
        many, and what `parts` raises; nothing is left then."""
        if size <= PIECE:
            whole = b"".join(parts)
            if len(whole) != size:
                raise ValueError(f"{len(whole)} bytes instead of {size}")
            return whole
        path = self.new()
        try:
            with path.open("xb", buffering=0) as file:
                for part in parts:
                    file.write(part)
                if file.tell() != size:
                    raise ValueError(f"{file.tell()} bytes instead of {size}")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Stored(path, size)

    def unnamed(self) -> IO[bytes]:
        """A file without a name, which is gone when it is closed or nobody has it any more."""
        return tempfile.TemporaryFile(dir=self._folder(), buffering=0)

    def close(self) -> None:
        if self._given is not None:
            for path in self._given.glob(f"{self._prefix}-*"):
                path.unlink(missing_ok=True)
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            self._made = None

    def _folder(self) -> Path:
        if self._given is not None:
            return self._given
        if self._made is None:
            self._made = Path(tempfile.mkdtemp(prefix="wardround-leg-"))
            weakref.finalize(self, shutil.rmtree, self._made, ignore_errors=True)
        return self._made


def discard(held: Held) -> None:
    """Remove its file, if it has one."""
    if isinstance(held, Stored):
        held.discard()
