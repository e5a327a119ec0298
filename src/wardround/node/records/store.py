"""Where health records are kept: one DuckDB file in the home, or PostgreSQL by one setting.

One process at a time may write to a DuckDB file, and nobody reads meanwhile. Readers and writers therefore take a lock
on a file beside it (flock(2)), shared or exclusive, for as long as questions are answered or one load is applied; a
process that dies gives it up. Whoever wants to write holds a second file meanwhile, which lets no more readers in. Who
waits longer than `patience` is told so. Nothing is downloaded: DuckDB may neither install
nor load an extension by itself.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

from wardround.node.records.errors import RecordsBusy, RecordsRefused
from wardround.node.records.schema import MAIN, TABLES, Column, Table, Type, source_columns
from wardround.node.settings import RecordsSettings

if TYPE_CHECKING:
    from ibis import BaseBackend

PATIENCE = 30.0
_PAUSE = 0.02
_TURN = "turn"
_POSTGRESQL_LOCK = 0x57415244
_BUSY = "the health records are in use by another program (a load or a question); try again later"
STATEMENTS = Table(
    "person_statement",
    (
        Column("origin", Type.INTEGER, required=True),
        Column("load_id", Type.INTEGER, required=True),
        Column("stated", Type.BOOLEAN, required=True),
        *TABLES["person"].columns,
    ),
    ("origin", "person_id"),
)
"""What each source says of a person; `person` has of each column what the newest load says that says something.
`stated`: by a record of the person, and not by an event alone."""
_OURS = (
    STATEMENTS,
    Table(
        "record_source",
        (Column("source_id", Type.INTEGER, required=True), Column("name", Type.TEXT, required=True)),
        ("source_id",),
    ),
    Table(
        "record_load",
        (
            Column("load_id", Type.INTEGER, required=True),
            Column("source_id", Type.INTEGER, required=True),
            Column("finished_at", Type.TIMESTAMP, required=True),
            Column("actor", Type.TEXT, required=True),
            Column("report", Type.TEXT, required=True),
        ),
        ("load_id",),
    ),
    Table(
        "record_mark",
        (Column("name", Type.TEXT, required=True), Column("value", Type.TEXT, required=True)),
        ("name",),
    ),
)
_INDEXES = (
    *(
        (table, f"{column}, person_id")
        for table, concept in MAIN.items()
        for column in (concept, *source_columns(TABLES[table], concept))
    ),
    ("image_occurrence", "modality, person_id"),
    ("concept", "concept_code, vocabulary_id"),
    *((name, "person_id") for name, table in TABLES.items() if table.date and name != "death"),
)


class Connection:
    """One connection that may write; SQL that both engines understand, with `?` for parameters."""

    def __init__(self, backend: BaseBackend) -> None:
        self.is_duckdb = backend.name == "duckdb"
        self._raw: Any = backend.con

    def run(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Execute a statement; how many rows it changed."""
        if self.is_duckdb:
            changed = self._raw.execute(sql, list(parameters)).fetchall()
            return int(changed[0][0]) if changed and isinstance(changed[0][0], int) else 0
        with self._raw.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), tuple(parameters) or None)
            return int(max(cursor.rowcount, 0))

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if self.is_duckdb:
            return list(self._raw.execute(sql, list(parameters)).fetchall())
        with self._raw.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s"), tuple(parameters) or None)
            return list(cursor.fetchall())

    def count(self, table: str, condition: str = "true", parameters: Sequence[object] = ()) -> int:
        """How many rows of a table fulfil a condition."""
        [[found]] = self.rows(f"SELECT count(*) FROM {table} WHERE {condition}", parameters)  # noqa: S608 - our names
        return int(found)

    def delete(self, table: str, condition: str, parameters: Sequence[object] = ()) -> int:
        """Take out the rows that fulfil a condition; how many they were."""
        return self.run(f"DELETE FROM {table} WHERE {condition}", parameters)  # noqa: S608 - our names

    def mark(self, name: str) -> str | None:
        """What was noted under a name."""
        found = self.rows("SELECT value FROM record_mark WHERE name = ?", [name])
        return str(found[0][0]) if found else None

    def set_mark(self, name: str, value: str) -> None:
        self.run("DELETE FROM record_mark WHERE name = ?", [name])
        self.run("INSERT INTO record_mark (name, value) VALUES (?, ?)", [name, value])

    def stage(self, name: str, columns: Sequence[Column], files: Sequence[Path]) -> None:
        """Make a temporary table of Parquet files, which have these columns; empty where there are no files."""
        types = ", ".join(f"{column.name} {column.type.value}" for column in columns)
        self.run(f"CREATE TEMPORARY TABLE {name} ({types})")
        self.append(name, columns, files)
        if not self.is_duckdb:
            self.run(f"ANALYZE {name}")

    def append(self, name: str, columns: Sequence[Column], files: Sequence[Path]) -> None:
        """Put the rows of Parquet files, which have these columns, into a table."""
        names = ", ".join(column.name for column in columns)
        if self.is_duckdb:
            for file in files:
                self.run(f"INSERT INTO {name} ({names}) SELECT {names} FROM read_parquet(?)", [str(file)])  # noqa: S608 - our names
            return
        from pyarrow.parquet import ParquetFile

        with self._raw.cursor() as cursor, cursor.copy(f"COPY {name} ({names}) FROM STDIN") as copy:
            for file in files:
                for batch in ParquetFile(file).iter_batches(10_000, columns=[column.name for column in columns]):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)


class Records:
    """The records of one node.

    Args:
        folder: `omop` in the node's home.
        patience: seconds that a reader or a writer waits for others.
    """

    def __init__(self, folder: Path, settings: RecordsSettings | None = None, *, patience: float = PATIENCE) -> None:
        self.folder = folder
        self._settings = settings or RecordsSettings()
        self._patience = patience
        self._made = False

    @property
    def staging(self) -> Path:
        return self.folder / "staging"

    def exists(self) -> bool:
        """Whether anything was ever kept here; records in PostgreSQL are taken to be there."""
        return bool(self._settings.database) or self._file.exists()

    @property
    def is_file(self) -> bool:
        """Whether they are DuckDB's, of which nobody may write while another program reads."""
        return not self._settings.database

    def is_awaited(self) -> bool:
        """Whether somebody waits for the readers to be done, so as to write."""
        turn = self._descriptor(_TURN)
        try:
            fcntl.flock(turn, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(turn)
        return False

    @contextmanager
    def reading(self) -> Iterator[BaseBackend]:
        """An Ibis backend with the tables of `schema.TABLES`, for reading alone.

        Raises:
            RecordsBusy: a load is being applied, for longer than the patience.
        """
        if not self._made and (self._settings.database or not self._file.exists()):
            with self.writing():
                pass
        self._made = True
        with self._lock(fcntl.LOCK_SH):
            backend = self._connect(read_only=True)
            try:
                yield backend
            finally:
                backend.disconnect()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back when the block raises. The tables are made
        if they aren't there.

        Raises:
            RecordsBusy: others read or write for longer than the patience.
        """
        with self._lock(fcntl.LOCK_EX):
            backend = self._connect(read_only=False)
            try:
                connection = Connection(backend)
                if connection.is_duckdb:
                    connection.run("BEGIN")
                else:
                    self._wait_for_others(connection)
                _make_tables(connection)
                yield connection
                backend.con.commit()
            finally:
                backend.disconnect()  # what wasn't committed is rolled back

    def _wait_for_others(self, connection: Connection) -> None:
        from psycopg.errors import LockNotAvailable

        try:
            connection.run(f"SET LOCAL lock_timeout = {max(1, int(self._patience * 1000))}")
            connection.run(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})")
            connection.run("SET LOCAL lock_timeout = 0")
            connection.run(f"SET LOCAL work_mem = '{self._settings.memory_mb}MB'")
        except LockNotAvailable:
            raise RecordsBusy(_BUSY) from None

    @property
    def _file(self) -> Path:
        return self.folder / "records.duckdb"

    def _connect(self, *, read_only: bool) -> BaseBackend:
        import ibis

        memory = self._settings.memory_mb
        if not self._settings.database:
            return ibis.duckdb.connect(
                self._file,
                read_only=read_only,
                # Of a process that answers, Python and its libraries need far more than what is left of it.
                memory_limit=f"{max(64, memory * 3 // 8) if read_only else memory}MB",
                threads=self._settings.threads,
                temp_directory=str(self.folder / "spill"),
                preserve_insertion_order=False,
                autoinstall_known_extensions=False,
                autoload_known_extensions=False,
                allow_community_extensions=False,
            )
        import psycopg

        url = make_url(self._settings.database)
        host = url.query.get("host") or url.host
        try:
            backend = ibis.postgres.connect(
                host=str(host) if host else None,
                port=url.port or 5432,
                user=url.username,
                password=url.password,
                database=url.database,
            )
        except psycopg.OperationalError as error:
            raise RecordsRefused(
                f"node.toml: 'records.database' can't be reached ({str(error).splitlines()[0]}); check the server"
            ) from None
        # One transaction for all that is done with it, which sees one state of the records.
        backend.con.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ if read_only else None
        backend.con.read_only = read_only
        backend.con.autocommit = False
        return backend

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # whoever made it first
        if self._settings.database:
            yield
            return
        deadline = time.monotonic() + self._patience
        turn, descriptor = self._descriptor(_TURN), self._descriptor("lock")
        try:
            try:
                _wait(turn, kind, deadline)
                _wait(descriptor, kind, deadline)
            finally:
                os.close(turn)
            yield
        finally:
            os.close(descriptor)

    def _descriptor(self, name: str) -> int:
        return os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o600)


def _wait(descriptor: int, kind: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise RecordsBusy(_BUSY) from None
        time.sleep(_PAUSE)


def _make_tables(connection: Connection) -> None:
    listed = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    there = {row[0] for row in connection.rows(listed)}
    for table in (*TABLES.values(), *_OURS):
        if table.name in there:
            continue
        columns = [f"{each.name} {each.type.value}{' NOT NULL' * each.required}" for each in table.columns]
        if not connection.is_duckdb:
            # DuckDB keeps the index of a primary key in memory, and checks it before a transaction's own deletions.
            columns.append(f"PRIMARY KEY ({', '.join(table.key)})")
        connection.run(f"CREATE TABLE {table.name} ({', '.join(columns)})")
        if not connection.is_duckdb:
            for name, indexed in _INDEXES:
                if name == table.name:
                    connection.run(f"CREATE INDEX ON {name} ({indexed})")
