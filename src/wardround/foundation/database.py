"""Relational storage: SQLite (write-ahead log) by default, PostgreSQL by one setting.

A program opens one `Database` and works in `reading()` or `writing()` blocks. A writing block is one transaction:
on SQLite it takes the write lock at its start, so that what it read can't change before it writes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

WRITES = "wardround_writes"
BUSY_SECONDS = 30


class Database:
    """One database with its migrations.

    Args:
        url: an SQLAlchemy URL, `sqlite:////abs/path.db` or `postgresql+psycopg://…`.
        migrations: the package that holds the Alembic environment, for example `wardround.hub.migrations`.
    """

    def __init__(self, url: str, *, migrations: str) -> None:
        self.url = url
        self._migrations = migrations
        self.engine = _engine(url)
        # SQLite lets one writer in at a time and makes the others poll, in no order: under load one may starve.
        # Threads of one program queue here instead.
        self._queue: AbstractContextManager[object] = threading.RLock() if self.is_sqlite else nullcontext()
        self._looking = threading.Lock()
        self._looker: sqlite3.Connection | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def upgrade(self) -> None:
        """Bring the schema to its newest migration; a database that is there already is left as it is."""
        from importlib.util import find_spec

        from alembic import command
        from alembic.config import Config

        spec = find_spec(self._migrations)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(self._migrations)
        config = Config()
        config.set_main_option("script_location", str(Path(next(iter(spec.submodule_search_locations)))))
        with self.engine.connect().execution_options(**{WRITES: True}) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database and writes nothing."""
        # Closing rolls back without expiring what was read, so that rows may be used after the block.
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back when the block raises."""
        connection = self.engine.connect().execution_options(**{WRITES: True})
        with connection, self._queue, Session(connection, expire_on_commit=False) as session:
            yield session
            session.commit()

    def version(self) -> int | None:
        """A number that another one follows once anybody, of whatever program, has committed to this database.

        It lets a loop see for some microseconds that there is nothing new, where asking for work takes milliseconds.
        SQLite's `PRAGMA data_version` tells a connection of what the others do, so that it is asked on one that never
        writes. None: it can't be told, as on PostgreSQL, which has nothing like it; take it for new.
        """
        if not self.is_sqlite or not (path := self.engine.url.database):
            return None
        with self._looking:
            try:
                if self._looker is None:
                    self._looker = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
                (version,) = self._looker.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error:
                return None
            return int(version)

    def close(self) -> None:
        with self._looking:
            if self._looker is not None:
                self._looker.close()
                self._looker = None
        self.engine.dispose()


class Changes:
    """Tells a thread whether anybody committed to a database since it was last asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: int | None = None

    def any(self) -> bool:
        """Whether there may be something new: at first, after `forget`, and where it can't be told, always."""
        before, self._seen = self._seen, self._database.version()
        return self._seen is None or self._seen != before

    def forget(self) -> None:
        """What was new wasn't dealt with: it is new once more."""
        self._seen = None


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # Transactions are begun by the listener below, not by the driver at its own time.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
