"""Steps of the hub's and the nodes' migrations for tables that both have. A step that was released is never changed."""

from __future__ import annotations

import json
from datetime import datetime

import sqlalchemy as sa
from alembic import op

_TIME = sa.DateTime(timezone=True)
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TOGETHER = 1000


def add_settlement() -> None:
    """Entries found by time and hash; how far a quorum settled the tree; what stopped a mirror; promises."""
    op.add_column("ledger_entries", sa.Column("lookup", _KEY, nullable=True))
    _fill_lookup()
    op.drop_index(op.f("ix_ledger_entries_origin"), table_name="ledger_entries")
    with op.batch_alter_table("ledger_entries") as batch:
        batch.alter_column("lookup", existing_type=_KEY, nullable=False)
        batch.drop_constraint(op.f("uq_ledger_entries_leaf_hash"), type_="unique")
    op.create_index(op.f("ix_ledger_entries_lookup"), "ledger_entries", ["lookup"], unique=False)
    op.add_column("ledger_head", sa.Column("settled", _KEY, nullable=False, server_default="0"))
    op.add_column("ledger_head", sa.Column("forked_message", sa.Text(), nullable=True))
    op.add_column("ledger_head", sa.Column("restored_size", _KEY, nullable=True))
    op.add_column("ledger_head", sa.Column("restored_at", _TIME, nullable=True))
    op.create_table(
        "ledger_promises",
        sa.Column("index", _KEY, autoincrement=False, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("index", "leaf_hash", name=op.f("pk_ledger_promises")),
    )


def drop_settlement() -> None:
    """Undo `add_settlement`."""
    op.drop_table("ledger_promises")
    for column in ("restored_at", "restored_size", "forked_message", "settled"):
        with op.batch_alter_table("ledger_head") as batch:
            batch.drop_column(column)
    op.drop_index(op.f("ix_ledger_entries_lookup"), table_name="ledger_entries")
    with op.batch_alter_table("ledger_entries") as batch:
        batch.drop_column("lookup")
        batch.create_unique_constraint(op.f("uq_ledger_entries_leaf_hash"), ["leaf_hash"])
    op.create_index(op.f("ix_ledger_entries_origin"), "ledger_entries", ["origin"], unique=False)


def _fill_lookup() -> None:
    """33 bits of the entry's time in seconds, then 30 of its leaf hash."""
    entries = sa.table(
        "ledger_entries",
        sa.column("index", _KEY),
        sa.column("leaf_hash", sa.LargeBinary()),
        sa.column("bytes", sa.LargeBinary()),
        sa.column("lookup", _KEY),
    )
    connection, last = op.get_bind(), -1
    query = sa.select(entries.c.index, entries.c.leaf_hash, entries.c.bytes).order_by(entries.c.index).limit(_TOGETHER)
    place = sa.bindparam("place", type_=_KEY)
    change = sa.update(entries).where(entries.c.index == place).values(lookup=sa.bindparam("key", type_=_KEY))
    while rows := connection.execute(query.where(entries.c.index > last)).all():
        changes = []
        for index, leaf, data in rows:
            seconds = int(datetime.fromisoformat(json.loads(bytes(data))["entry"]["at"]).timestamp())
            key = (seconds & (2**33 - 1)) << 30 | int.from_bytes(bytes(leaf)[:4], "big") >> 2
            changes.append({"place": index, "key": key})
        connection.execute(change, changes)
        last = rows[-1][0]
