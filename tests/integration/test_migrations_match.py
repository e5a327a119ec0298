"""The migrations make exactly the tables that the code works with, on both databases, and can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, MetaData, inspect

from wardround.foundation.database import Database

PROGRAMS = ["hub", "node"]


@pytest.fixture(params=PROGRAMS)
def migrated(request: pytest.FixtureRequest, database_url: str) -> Iterator[tuple[Database, list[MetaData]]]:
    database = Database(database_url, migrations=f"wardround.{request.param}.migrations")
    database.upgrade()
    yield database, import_module(f"wardround.{request.param}.schema").METADATA
    database.close()


def test_migrations_make_the_tables_of_the_code(migrated: tuple[Database, list[MetaData]]) -> None:
    database, metadata = migrated
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": metadata})
        assert compare_metadata(context, metadata) == []


def test_named_constraints_are_those_of_the_code(migrated: tuple[Database, list[MetaData]]) -> None:
    """Alembic's comparison looks at neither check constraints nor primary keys."""
    database, metadata = migrated
    seen = inspect(database.engine)
    for tables in metadata:
        for table in tables.sorted_tables:
            checks = {check["name"] for check in seen.get_check_constraints(table.name)}
            wanted = {part.name for part in table.constraints if isinstance(part, CheckConstraint)}
            assert checks == wanted, table.name
            key = seen.get_pk_constraint(table.name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key], table.name


def test_upgrading_twice_changes_nothing(migrated: tuple[Database, list[MetaData]]) -> None:
    database, _ = migrated
    before = sorted(inspect(database.engine).get_table_names())
    database.upgrade()
    assert sorted(inspect(database.engine).get_table_names()) == before
