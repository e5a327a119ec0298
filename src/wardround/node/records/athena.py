"""Loads vocabulary tables as OHDSI's Athena exports them, in place of those that were there.

CONCEPT.csv is needed; without CONCEPT_RELATIONSHIP.csv no code finds its standard concept, and without
CONCEPT_ANCESTOR.csv no concept its descendants. Of relationships, the valid ones that say what a concept maps to are
kept. What records say by codes is given the concepts of the new tables, in the same transaction.

Source: OHDSI, Common Data Model 5.4, the vocabulary tables; Athena's export: tab-separated, UTF-8, nothing quoted,
dates as YYYYMMDD.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.schema import NO_CONCEPT, RECORDS, TABLES, VOCABULARY, Table, Type, source_columns
from wardround.node.records.staging import staging_in
from wardround.node.records.store import Connection, Records
from wardround.node.records.vocabulary import VERSION

if TYPE_CHECKING:
    from pyarrow import RecordBatch

MAPS = ("Maps to", "Maps to value")
"""The relationships that are kept."""
_BLOCK = 4 * 1024 * 1024
Progress = Callable[[int], None]
"""Told how many lines were read so far."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many rows each vocabulary table has now, and how many standard concepts of records changed with them."""

    rows: Mapping[str, int]
    renamed: int


def load_vocabulary(records: Records, folder: Path, *, progress: Progress | None = None) -> Loaded:
    """Load the tables in `folder`, all of them or none.

    Raises:
        RecordsRefused: CONCEPT.csv isn't there, or a file isn't such a table; nothing was changed.
        RecordsBusy: others read or write for too long.
    """
    files = _files(folder)
    seen = 0
    with staging_in(records.staging) as staging:
        for name in VOCABULARY:
            table = TABLES[name]
            staging.declare(name, table.columns)
            for read, rows in _rows(files[name], table) if name in files else ():
                staging.add_batch(name, rows)
                seen += read
                if progress is not None:
                    progress(seen)
        staging.finish()
        with _once(), records.writing() as connection:
            for name in VOCABULARY:
                connection.delete(name, "true")
                connection.append(name, staging.columns(name), staging.files(name))
            [[twice]] = connection.rows("SELECT count(*) - count(DISTINCT concept_id) FROM concept")
            if twice:
                raise RecordsRefused("CONCEPT.csv: a concept is there twice; export the vocabulary again")
            renamed = sum(_rename(connection, TABLES[name]) for name in RECORDS)
            connection.set_mark(VERSION, secrets.token_hex(8))
            counts = {name: connection.count(name) for name in VOCABULARY}
    return Loaded(counts, renamed)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise RecordsRefused(f"{folder} isn't a folder; name the one in which Athena's export was unpacked")
    found = {path.stem.lower(): path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".csv"}
    if "concept" not in found:
        raise RecordsRefused(f"{folder} has no CONCEPT.csv; name the folder in which Athena's export was unpacked")
    return {name: found[name] for name in VOCABULARY if name in found}


def _rows(file: Path, table: Table) -> Iterator[tuple[int, RecordBatch]]:
    """How many lines a block of a file has, and the rows of it that are kept."""
    import pyarrow as pa
    from pyarrow import csv

    read = csv.ReadOptions(block_size=_BLOCK, use_threads=False)
    parse = csv.ParseOptions(delimiter="\t", quote_char=False, newlines_in_values=False)
    convert = csv.ConvertOptions(
        include_columns=list(table.names),
        column_types=dict.fromkeys(table.names, pa.string()),
        strings_can_be_null=True,
        null_values=[""],
    )
    try:
        with csv.open_csv(file, read, parse, convert) as batches:
            for batch in batches:
                yield batch.num_rows, _made(batch, table)
    except (pa.ArrowInvalid, pa.ArrowKeyError, ValueError):
        raise RecordsRefused(
            f"{file.name} isn't that table as Athena exports it: tab-separated, UTF-8, with the columns "
            f"{', '.join(table.names)}; export it again"
        ) from None


def _made(batch: RecordBatch, table: Table) -> RecordBatch:
    """The rows in the columns of the table. Raises ValueError where one isn't of its type, or is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for column in table.columns:
        said = batch.column(column.name)
        if column.required and said.null_count:
            raise ValueError
        if column.type is Type.INTEGER:
            said = pc.cast(said, pa.int32())
        elif column.type is Type.DATE:
            if not pc.all(pc.equal(pc.utf8_length(said), 8), min_count=0).as_py():
                raise ValueError
            said = pc.cast(pc.strptime(said, "%Y%m%d", "s"), pa.date32())
        columns.append(said)
    made = pa.RecordBatch.from_arrays(columns, list(table.names))
    if table.name != "concept_relationship":
        return made
    maps = pc.is_in(made.column("relationship_id"), pa.array(MAPS))
    return made.filter(pc.and_(maps, pc.is_null(made.column("invalid_reason"))))


@contextmanager
def _once() -> Iterator[None]:
    """A row that is there twice, as PostgreSQL says it."""
    from psycopg.errors import UniqueViolation

    try:
        yield
    except UniqueViolation:
        raise RecordsRefused("a row of the vocabulary is there twice; export the vocabulary again") from None


def _rename(connection: Connection, table: Table) -> int:
    """Give records of `table` the concepts that their codes have now. A standard concept that is one still stays: the
    source may have said it itself. So does what a code had that isn't in the new tables, where that concept is."""
    changed = 0
    for name in (column.name for column in table.columns if column.name.endswith("_concept_id")):
        said, own = source_columns(table, name)
        if said is None or name.endswith("_source_concept_id"):
            continue
        connection.run(
            "CREATE TEMPORARY TABLE meaning AS SELECT d.said, "  # noqa: S608 - our names
            "max(c.concept_id) AS own, max(CASE WHEN c.standard_concept = 'S' THEN c.concept_id END) AS itself, "
            "min(s.concept_id) AS mapped "
            f"FROM (SELECT DISTINCT {said} AS said FROM {table.name} WHERE {said} IS NOT NULL) AS d "
            "JOIN concept c ON c.vocabulary_id || ':' || c.concept_code = d.said "
            "LEFT JOIN concept_relationship r ON r.concept_id_1 = c.concept_id AND r.relationship_id = 'Maps to' "
            "LEFT JOIN concept s ON s.concept_id = r.concept_id_2 AND s.standard_concept = 'S' GROUP BY d.said"
        )
        now = f"coalesce(m.itself, m.mapped, {NO_CONCEPT})"
        changed += connection.run(
            f"UPDATE {table.name} AS t SET {name} = {now} FROM meaning AS m WHERE m.said = t.{said} "  # noqa: S608
            f"AND t.{name} IS DISTINCT FROM {now} AND NOT EXISTS "
            f"(SELECT 1 FROM concept AS k WHERE k.concept_id = t.{name} AND k.standard_concept = 'S')"
        )
        if own is not None:
            connection.run(
                f"UPDATE {table.name} AS t SET {own} = m.own FROM meaning AS m "  # noqa: S608 - our names
                f"WHERE m.said = t.{said} AND t.{own} IS DISTINCT FROM m.own"
            )
        for column in (name, own):
            if column is not None:
                changed += connection.run(
                    f"UPDATE {table.name} AS t SET {column} = {NO_CONCEPT} WHERE {said} IS NOT NULL "  # noqa: S608
                    f"AND {column} <> {NO_CONCEPT} AND NOT EXISTS (SELECT 1 FROM meaning WHERE said = t.{said}) "
                    f"AND NOT EXISTS (SELECT 1 FROM concept WHERE concept_id = t.{column})"
                )
        connection.run("DROP TABLE meaning")
    return changed
