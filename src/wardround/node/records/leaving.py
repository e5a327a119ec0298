"""Takes people out of the health records for good. Who opted out and is still there, every count leaves out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from wardround.node.records.keys import RecordKeys
from wardround.node.records.schema import TABLES
from wardround.node.records.store import STATEMENTS, Records

_TABLES = (*(name for name, table in TABLES.items() if "person_id" in table.names), STATEMENTS.name)


class Waiting(Protocol):
    """What came and isn't in the records yet."""

    def about(self, pseudonyms: Collection[str]) -> Iterator[Path]: ...

    def forget(self, pseudonyms: Collection[str]) -> None: ...


class Leaving:
    """Takes people out of one site's records.

    Args:
        waiting: messages that are to be loaded.
    """

    def __init__(self, records: Records, keys: RecordKeys, waiting: Waiting | None = None) -> None:
        self._records = records
        self._keys = keys
        self._waiting = waiting

    def kept(self, pseudonyms: Sequence[str]) -> int:
        """How many rows there are of these people, and messages that wait.

        Raises:
            RecordsBusy: a load is being applied.
        """
        people = [self._keys.person(pseudonym) for pseudonym in pseudonyms]
        messages = 0 if self._waiting is None else sum(1 for _ in self._waiting.about(pseudonyms))
        if not people or not self._records.exists():
            return messages
        with self._records.writing() as connection:
            return messages + sum(
                connection.count(name, "person_id = ?", [person]) for name in _TABLES for person in people
            )

    def forget(self, pseudonyms: Sequence[str]) -> None:
        """Remove every row of these people, and before that the messages of which there would be more.

        Raises:
            RecordsBusy: others read or write for too long; no row was removed.
        """
        if self._waiting is not None:
            self._waiting.forget(pseudonyms)
        people = [self._keys.person(pseudonym) for pseudonym in pseudonyms]
        if not people or not self._records.exists():
            return
        with self._records.writing() as connection:
            for name in _TABLES:
                for person in people:
                    connection.delete(name, "person_id = ?", [person])
