"""Where hub and node keep the ledger, on SQLite or PostgreSQL. Both have the same tables.

`ledger_nodes` holds the interior nodes that will never change again, by in-order position (odd; leaves are in
`ledger_entries`), so that any proof is one query of O(log n) rows. `ledger_head` has one row: how far the tree has
grown, the lock that makes writers wait for each other, how far a quorum settled it and, at a witness, whether it was
stopped. `ledger_promises` holds the entries of a site's own that the hub took and hasn't shown yet.

An entry is found again by `lookup`, which begins with its own time: so the index grows at its end, where one over the
leaf hashes would touch another page for nearly every entry.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from wardround.foundation.columns import UtcTime

# On SQLite only INTEGER, not BIGINT, makes the key the row's own address.
_KEY = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

entries = Table(
    "ledger_entries",
    metadata,
    Column("index", _KEY, primary_key=True, autoincrement=False),
    Column("lookup", _KEY, nullable=False, index=True),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    Column("origin", String(40), nullable=False),
    Column("kind", String(20), nullable=False, index=True),
)

nodes = Table(
    "ledger_nodes",
    metadata,
    Column("position", _KEY, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
)

checkpoints = Table(
    "ledger_checkpoints",
    metadata,
    Column("size", _KEY, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

cosignatures = Table(
    "ledger_cosignatures",
    metadata,
    Column("size", _KEY, primary_key=True, autoincrement=False),
    Column("witness", String(40), primary_key=True),
    Column("line", Text, nullable=False),
)

head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("size", _KEY, nullable=False),
    Column("verified", _KEY, nullable=False),
    Column("settled", _KEY, nullable=False),
    Column("forked_code", String(60)),
    Column("forked_size", _KEY),
    Column("forked_message", Text),
    Column("forked_note", Text),
    Column("forked_at", UtcTime),
    Column("restored_size", _KEY),
    Column("restored_at", UtcTime),
    Column("resumed_by", String(80)),
    Column("resumed_at", UtcTime),
)

promises = Table(
    "ledger_promises",
    metadata,
    Column("index", _KEY, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary(32), primary_key=True),
    Column("at", UtcTime, nullable=False),
)
