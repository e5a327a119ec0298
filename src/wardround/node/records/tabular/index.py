"""What a reader has to remember of a source of any size: names and what each stands for, on the disk.

It is a private SQLite file without a name, which the system removes with the process, so that the memory it takes
doesn't grow with the number of names.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self


class Index:
    """Names, each of a space of its own, with a text. To be used as a context manager.

    A name that is a number is kept as one: numbers in their order are noted many times as quickly as texts.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32768;"
            "CREATE TABLE known (space TEXT, name, said TEXT NOT NULL, PRIMARY KEY (space, name)) WITHOUT ROWID;"
            # One transaction, which is never ended: nothing has to reach the disk before the cache is full.
            "BEGIN"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, space: str, name: str | int, said: str = "") -> bool:
        """Note a name; False, and nothing noted, if it is there."""
        done = self._database.execute("INSERT OR IGNORE INTO known VALUES (?, ?, ?)", (space, name, said))
        return done.rowcount == 1

    def get(self, space: str, name: str | int) -> str | None:
        """What a name stands for; None if it isn't there."""
        row = self._database.execute("SELECT said FROM known WHERE space = ? AND name = ?", (space, name)).fetchone()
        return None if row is None else str(row[0])
