"""What a reader has to remember of a source of any size lies on the disk.

It is a private SQLite file without a name, which the system removes with the process, so that the memory it takes
doesn't grow with what is remembered.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self


class Scratch:
    """A database for as long as one reading lasts. To be used as a context manager.

    Args:
        table: the statement that makes its table.
    """

    def __init__(self, table: str) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(
            f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768; {table};"
            # One transaction, which is never ended: nothing has to reach the disk before the cache is full.
            "BEGIN"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
