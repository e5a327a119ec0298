"""Databases of the tests, migrated once in each process: every further empty one begins as a copy of the first.

The migrations of a node take more of a processor than most tests do. What isn't empty is migrated as ever, and so is
what other processes open.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

from wardround.foundation.database import Database

_upgrade = Database.upgrade


class Copies:
    """What `Database.upgrade` made of an empty database of each kind, for others to begin with.

    Args:
        folder: where the SQLite files are kept; on PostgreSQL they are databases of the server itself.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str], Path | str] = {}
        self._making = threading.Lock()

    def upgrade(self, database: Database, migrations: str) -> None:
        copy = self._copy_file if database.is_sqlite else self._copy_on_the_server
        if not copy(database, migrations):
            _upgrade(database)

    def _copy_file(self, database: Database, migrations: str) -> bool:
        path = database.engine.url.database
        if not path or (Path(path).exists() and Path(path).stat().st_size):
            return False
        with self._making:
            made = self._made.get(("sqlite", migrations))
            if made is None:
                made = self._folder / f"{migrations}.db"
                first = Database(f"sqlite:///{made}", migrations=migrations)
                _upgrade(first)
                first.close()  # the last connection's end moves the write-ahead log into the file
                self._made["sqlite", migrations] = made
        shutil.copyfile(made, path)
        return True

    def _copy_on_the_server(self, database: Database, migrations: str) -> bool:
        if inspect(database.engine).get_table_names():
            return False
        name = str(database.engine.url.database)
        server = make_url(database.url).set(database="postgres")
        with self._making:
            made = self._made.get((str(server), migrations))
            if made is None:
                made = f"made_{len(self._made)}"
                self._on(server, f"CREATE DATABASE {made}")
                first = Database(
                    make_url(database.url).set(database=made).render_as_string(hide_password=False),
                    migrations=migrations,
                )
                _upgrade(first)
                first.close()
                self._made[str(server), migrations] = made
            database.engine.dispose()
            self._on(server, f"DROP DATABASE {name}", f"CREATE DATABASE {name} TEMPLATE {made}")
        return True

    @staticmethod
    def _on(server: Any, *statements: str) -> None:
        engine = create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()


@contextmanager
def migrated_once(folder: Path) -> Iterator[None]:
    copies = Copies(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "upgrade", lambda database: copies.upgrade(database, database._migrations))
        yield
