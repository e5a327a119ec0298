"""What every Alembic environment of this package does: run on the connection that `Database` hands over.

A program's `migrations/env.py` is one call of `migrate`. Schemas begin with a migration: nothing creates tables from
the metadata, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import context
from sqlalchemy import MetaData
from sqlalchemy.engine import Connection


def migrate(metadata: Sequence[MetaData]) -> None:
    """Run the migrations that are due, in one transaction where the database allows it."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=list(metadata), render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
