"""The ledger on PostgreSQL: the same tables, the same roots, and writers that wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests import postgresql
from tests.unit.ledger.federation import NOON, ORIGIN, Federation, open_database, rooted

from wardround.foundation.database import Database
from wardround.ledger import tables
from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.log import Log
from wardround.ledger.mirror import Mirror
from wardround.ledger.tree import leaf_hash
from wardround.ledger.trust import LedgerForked, MirrorState
from wardround.ledger.verification import verify


@pytest.fixture
def database(postgresql_server: Path) -> Iterator[Database]:
    database = Database(postgresql.fresh_database(postgresql_server), migrations="none")
    tables.metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def federation(database: Database, tmp_path: Path) -> Iterator[Federation]:
    key = Ed25519PrivateKey.generate()
    federation = Federation(tmp_path, key, database, Log(ORIGIN, key))
    federation.join("north")
    yield federation
    for opened in federation.databases:
        opened.close()


def test_the_first_writers_in_parallel_lose_and_double_nothing(federation: Federation) -> None:
    north = federation.sites[0]
    batches = [[north.approval(f"project-{batch}-{item}") for item in range(5)] for batch in range(24)]
    with ThreadPoolExecutor(5) as pool:
        places = list(pool.map(lambda batch: federation.append(*batch), batches))
    assert sorted(index for found in places for index in found) == list(range(1, 121))
    entries = federation.entries(0, 121)
    for batch, found in zip(batches, places, strict=True):
        assert [entries[index] for index in found] == batch
    checkpoint = open_checkpoint(federation.checkpoint(), federation.log.verifier)
    assert checkpoint.root == rooted([leaf_hash(data) for data in entries])


def test_two_writers_that_find_the_ledger_empty_do_not_fail(database: Database) -> None:
    key = Ed25519PrivateKey.generate()
    federation = Federation(Path(), key, database, Log(ORIGIN, key))

    def write(_: int) -> None:
        with database.writing() as tx:
            federation.log.append_many(tx, [])

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(write, range(10)))
    assert federation.size() == 0


def test_a_mirror_and_the_offline_check_work_as_on_sqlite(federation: Federation) -> None:
    north = federation.sites[0]
    federation.append(*(north.approval(f"project-{number}") for number in range(30)))
    federation.round_of_witnesses()
    with federation.database.reading() as tx:
        outcome = verify(tx, federation.log.vkey)
    assert outcome.sound
    assert outcome.settled == 31
    with north.database.reading() as tx:
        assert verify(tx, federation.log.vkey) == outcome


def test_a_mirror_kept_on_postgresql_follows_and_stops(tmp_path: Path, database: Database) -> None:
    key = Ed25519PrivateKey.generate()
    hub = Federation(tmp_path, key, open_database(tmp_path / "hub.db"), Log(ORIGIN, key))
    north = hub.join("north")
    mirror = Mirror(database, "north", hub.log.vkey, north.witness_key)
    hub.append(north.approval())
    assert mirror.take(0, hub.entries(0, 1), hub.checkpoint(), NOON) is None
    assert mirror.state() == MirrorState(1, 0)
    assert mirror.take(1, hub.entries(1, 2), hub.checkpoint(), NOON) is not None
    hub.append(north.approval("next"))
    with pytest.raises(LedgerForked):
        mirror.take(2, [north.approval("other")], hub.checkpoint(), NOON)
    assert mirror.state() == MirrorState(2, 2, "entries-differ", 3)
    mirror.resume("j.doe", NOON)
    assert mirror.take(2, hub.entries(2, 3), hub.checkpoint(), NOON) is not None
    hub.database.close()
    north.database.close()
