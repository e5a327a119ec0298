"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests import postgresql
from tests.migrated import migrated_once

from wardround.foundation.silence import fall_silent
from wardround.foundation.threads import one_each

fall_silent()
# Test files run at once, as many as there are cores: threads of numerical libraries would only wait for one another.
one_each()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What the tests' modules load stays for good: the collector needn't walk through it while it grows, nor after."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with migrated_once(tmp_path_factory.mktemp("migrated")):
        yield


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Path]:
    """The socket's folder of a PostgreSQL server that the whole session shares."""
    if not postgresql.INSTALLED:
        missing = "PostgreSQL's server programs aren't installed (Debian: postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with postgresql.running() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database on each of the two that a program may stand on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return postgresql.fresh_database(request.getfixturevalue("postgresql_server"))
