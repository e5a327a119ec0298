"""Rows of a load on their way into the records: Parquet files in a folder of the load's own, in bounded memory.

They hold what the records will hold, and nothing of who somebody is. A load holds a lock on its folder (flock(2)) while
it lives, so that a folder nobody holds is what a killed load left, and is removed by the next one (`tidy`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wardround.node.records.schema import Column, Type

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Schema
    from pyarrow.parquet import ParquetWriter

_AT_ONCE = 10_000
"""Rows of one table that are held in memory."""
_LOCK = "lock"


class Staging:
    """The staged rows of one load, by table.

    Args:
        folder: the load's own; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._columns: dict[str, Sequence[Column]] = {}
        self._waiting: dict[str, list[Mapping[str, object]]] = {}
        self._writers: dict[str, ParquetWriter] = {}

    def declare(self, table: str, columns: Sequence[Column]) -> None:
        """Say which columns a table has."""
        self._columns[table] = columns
        self._waiting[table] = []

    def add(self, table: str, row: Mapping[str, object]) -> None:
        """Stage a row, which has every column that was declared."""
        waiting = self._waiting[table]
        waiting.append(row)
        if len(waiting) >= _AT_ONCE:
            self._write(table)

    def add_batch(self, table: str, batch: RecordBatch) -> None:
        """Stage rows that are in columns already, of the types of `declare`."""
        import pyarrow as pa

        self._write(table)
        self._writer(table).write_table(pa.Table.from_batches([batch.cast(_schema(self._columns[table]))]))

    def finish(self) -> None:
        """Write what is held in memory; the files are whole from here on."""
        for table in self._columns:
            self._write(table)
        self.close()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def columns(self, table: str) -> Sequence[Column]:
        return self._columns[table]

    def files(self, table: str) -> list[Path]:
        """The Parquet files of a table; none if it has no row."""
        path = self._path(table)
        return [path] if path.exists() else []

    def _path(self, table: str) -> Path:
        return self._folder / f"{table}.parquet"

    def _write(self, table: str) -> None:
        waiting = self._waiting[table]
        if not waiting:
            return
        import pyarrow as pa

        schema = _schema(self._columns[table])
        arrays = [pa.array([row[name] for row in waiting], schema.field(name).type) for name in schema.names]
        self._writer(table).write_table(pa.Table.from_arrays(arrays, schema=schema))
        waiting.clear()

    def _writer(self, table: str) -> ParquetWriter:
        from pyarrow.parquet import ParquetWriter

        if table not in self._writers:
            schema = _schema(self._columns[table])
            self._writers[table] = ParquetWriter(self._path(table), schema, compression="zstd")
        return self._writers[table]


@contextmanager
def staging_in(folder: Path) -> Iterator[Staging]:
    """A staging in a folder of its own below `folder`; it goes with the end of the block, however that comes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tidy(folder)
    own = folder / secrets.token_hex(8)
    with _held(folder):
        own.mkdir(mode=0o700)
        descriptor = os.open(own / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        staging = Staging(own)
        try:
            yield staging
        finally:
            staging.close()
            shutil.rmtree(own, ignore_errors=True)
    finally:
        os.close(descriptor)


def tidy(folder: Path) -> int:
    """Remove what killed loads left; returns of how many."""
    gone = 0
    if not folder.is_dir():
        return gone
    with _held(folder):
        for left in [each for each in folder.iterdir() if each.is_dir()]:
            descriptor = os.open(left / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                shutil.rmtree(left, ignore_errors=True)
                gone += 1
            finally:
                os.close(descriptor)
    return gone


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Nobody else makes or removes a load's folder meanwhile."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _schema(columns: Sequence[Column]) -> Schema:
    import pyarrow as pa

    kinds: dict[Type, Any] = {
        Type.INTEGER: pa.int32(),
        Type.BIGINT: pa.int64(),
        Type.FLOAT: pa.float64(),
        Type.TEXT: pa.string(),
        Type.DATE: pa.date32(),
        Type.TIMESTAMP: pa.timestamp("us"),
        Type.BOOLEAN: pa.bool_(),
    }
    return pa.schema([pa.field(column.name, kinds[column.type]) for column in columns])
