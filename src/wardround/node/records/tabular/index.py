"""Names and what each stands for, of a source of any size."""

from __future__ import annotations

from wardround.node.records.scratch import Scratch


class Index(Scratch):
    """Names, each of a space of its own, with a text. To be used as a context manager.

    A name that is a number is kept as one: numbers in their order are noted many times as quickly as texts.
    """

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE known (space TEXT, name, said TEXT NOT NULL, PRIMARY KEY (space, name)) WITHOUT ROWID"
        )

    def add(self, space: str, name: str | int, said: str = "") -> bool:
        """Note a name; False, and nothing noted, if it is there."""
        done = self._database.execute("INSERT OR IGNORE INTO known VALUES (?, ?, ?)", (space, name, said))
        return done.rowcount == 1

    def get(self, space: str, name: str | int) -> str | None:
        """What a name stands for; None if it isn't there."""
        row = self._database.execute("SELECT said FROM known WHERE space = ? AND name = ?", (space, name)).fetchone()
        return None if row is None else str(row[0])
