"""Reads: what there is in the records and how it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wardround.node.records.history import Past, past_loads
from wardround.node.records.schema import RECORDS, TABLES
from wardround.node.records.store import Records

_SHOWN = (*RECORDS, "image_occurrence", "concept", "concept_ancestor", "concept_relationship")


@dataclass(frozen=True, slots=True)
class Standing:
    """Rows of each table, records of each source, and the newest loads, newest first."""

    tables: Mapping[str, int]
    sources: Mapping[str, int]
    loads: Sequence[Past]


def standing(records: Records, last: int) -> Standing:
    """What is there now.

    Raises:
        RecordsBusy: a load is being applied.
    """
    if not records.exists():
        return Standing({}, {}, ())
    sourced = [name for name in RECORDS if "origin" in TABLES[name].names]
    counts = [_count(name) for name in sourced]
    with records.writing() as connection:
        tables = {name: connection.count(name) for name in _SHOWN}
        names = dict(connection.rows("SELECT source_id, name FROM record_source ORDER BY source_id"))
        sources = dict.fromkeys(names.values(), 0)
        for count in counts:
            for number, rows in connection.rows(count):
                if number in names:
                    sources[names[number]] += rows
        return Standing(tables, sources, past_loads(connection, last))


def _count(name: str) -> str:
    return f"SELECT origin, count(*) FROM {name} GROUP BY origin"  # noqa: S608 - our names
