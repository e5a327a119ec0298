"""A ledger that an older version kept is found, grown and verified after the upgrade, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from tests.unit.ledger.federation import NOON, ORIGIN, PROJECT, Federation

from wardround.contracts.ledger_entry import Approval
from wardround.foundation.database import WRITES, Database
from wardround.ledger.envelope import sign_entry
from wardround.ledger.log import Log
from wardround.ledger.tree import Frontier
from wardround.ledger.verification import verify

BEFORE = {"hub": "0002", "node": "0008"}


def migrate(database: Database, program: str, to: str, *, down: bool = False) -> None:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(import_module(f"wardround.{program}.migrations").__file__ or "").parent)
    )
    with database.engine.connect().execution_options(**{WRITES: True}) as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, to)
        connection.commit()


@pytest.fixture(params=sorted(BEFORE))
def old(request: pytest.FixtureRequest, database_url: str) -> Iterator[tuple[Database, str]]:
    database = Database(database_url, migrations=f"wardround.{request.param}.migrations")
    migrate(database, request.param, BEFORE[request.param])
    yield database, request.param
    database.close()


def test_entries_of_before_keep_their_places(old: tuple[Database, str], tmp_path: Path) -> None:
    database, program = old
    key = Ed25519PrivateKey.generate()
    federation = Federation(tmp_path, key, database, Log(ORIGIN, key))
    site_key = Ed25519PrivateKey.generate()
    other, mirror = federation.mirror("north", site_key, tmp_path / "other.db")
    from tests.unit.ledger.federation import Site

    north = Site("north", other, mirror, site_key, site_key)
    data = [sign_entry(north.member(), key, ORIGIN)]
    data += [
        north.sign(Approval(origin="north", at=NOON, project=f"project-{number}", project_digest=PROJECT))
        for number in range(2500)
    ]
    edge = Frontier()
    with database.writing() as tx:
        for index, entry in enumerate(data):
            leaf = sha256(b"\x00" + entry).digest()
            origin, kind = ("north", "approval") if index else ("hub", "member")
            tx.execute(
                text("INSERT INTO ledger_entries VALUES (:i, :l, :b, :o, :k)"),
                {"i": index, "l": leaf, "b": entry, "o": origin, "k": kind},
            )
            for node, value in edge.append(leaf):
                tx.execute(text("INSERT INTO ledger_nodes VALUES (:p, :h)"), {"p": node.position, "h": value})
        tx.execute(text("INSERT INTO ledger_head (id, size, verified) VALUES (1, :s, 0)"), {"s": len(data)})
    migrate(database, program, "head")
    assert federation.append(*data[:3], data[2400], north.approval("new")) == [0, 1, 2, 2400, 2501]
    federation.checkpoint()
    with database.reading() as tx:
        outcome = verify(tx, federation.log.vkey)
    assert outcome.sound
    assert outcome.size == 2502
    migrate(database, program, BEFORE[program], down=True)
    with database.reading() as tx:
        assert tx.execute(text("SELECT count(*) FROM ledger_entries")).scalar() == 2502
    other.close()
