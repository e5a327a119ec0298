"""A small federation for the tests of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.unit.ledger.federation import ORIGIN, Federation, open_database

from wardround.ledger.log import Log


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Callable[..., Federation]]:
    """Found a federation of the sites named."""
    made: list[Federation] = []

    def _found(*names: str) -> Federation:
        key = Ed25519PrivateKey.generate()
        database = open_database(tmp_path / "hub.db")
        federation = Federation(tmp_path, key, database, Log(ORIGIN, key))
        federation.databases.append(database)
        made.append(federation)
        for name in names:
            federation.join(name)
        return federation

    yield _found
    for federation in made:
        for database in federation.databases:
            database.close()
