"""Health records on each of the two databases that they may be in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from tests import postgresql
from tests.records_lab import Lab


@pytest.fixture(scope="session")
def records_in_postgresql(postgresql_server: Path) -> str:
    """The URL of a database of these tests' own: making one for each test takes longer than most of them."""
    return postgresql.fresh_database(postgresql_server)


@pytest.fixture(params=["duckdb", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A site's empty records."""
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("records_in_postgresql")
        parsed = make_url(url)
        host = str(parsed.query["host"])
        with psycopg.connect(host=host, user=parsed.username, dbname=parsed.database, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    made = Lab(tmp_path, url)
    yield made
    made.close()
