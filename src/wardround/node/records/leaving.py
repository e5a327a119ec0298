"""Takes people out of the health records for good. Who opted out and is still there, every count leaves out."""

from __future__ import annotations

from collections.abc import Sequence

from wardround.node.records.keys import RecordKeys
from wardround.node.records.schema import TABLES
from wardround.node.records.store import STATEMENTS, Connection, Records

_TABLES = (*(name for name, table in TABLES.items() if "person_id" in table.names), STATEMENTS.name)


class Leaving:
    """Takes people out of one site's records."""

    def __init__(self, records: Records, keys: RecordKeys) -> None:
        self._records = records
        self._keys = keys

    def kept(self, pseudonyms: Sequence[str]) -> int:
        """How many rows there are of these people.

        Raises:
            RecordsBusy: a load is being applied.
        """
        people = [self._keys.person(pseudonym) for pseudonym in pseudonyms]
        if not people or not self._records.exists():
            return 0
        with self._records.writing() as connection:
            return sum(_count(connection, name, person) for name in _TABLES for person in people)

    def forget(self, pseudonyms: Sequence[str]) -> None:
        """Remove every row of these people.

        Raises:
            RecordsBusy: others read or write for too long; nothing was removed.
        """
        people = [self._keys.person(pseudonym) for pseudonym in pseudonyms]
        if not people or not self._records.exists():
            return
        with self._records.writing() as connection:
            for name in _TABLES:
                for person in people:
                    connection.run(f"DELETE FROM {name} WHERE person_id = ?", [person])  # noqa: S608 - our names


def _count(connection: Connection, name: str, person: int) -> int:
    return int(connection.rows(f"SELECT count(*) FROM {name} WHERE person_id = ?", [person])[0][0])  # noqa: S608
