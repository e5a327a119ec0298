"""The ledger's rows: what hub and node both do with them, inside the transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Entry, Member, SignedEntry, read_signed_entry
from wardround.foundation.errors import WardroundError
from wardround.ledger import tables
from wardround.ledger.members import Members
from wardround.ledger.note import Verifier
from wardround.ledger.quorum import is_quorum
from wardround.ledger.tree import Frontier, Node, cover, fold

Transaction = Connection | Session
"""Where rows are read and written; the caller commits."""

_TOGETHER = 500
"""Values in one query: well below what either database takes."""


class LedgerDamaged(WardroundError):
    """The stored ledger lacks rows that it must have; mend it from a backup or from another site's mirror."""

    code = "ledger-damaged"


@dataclass(frozen=True)
class Row:
    """A leaf ready to be stored."""

    leaf: bytes
    data: bytes
    signed: SignedEntry


def _chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _TOGETHER):
        yield values[start : start + _TOGETHER]


def lock(tx: Transaction) -> int:
    """Make this the one transaction that writes the ledger, until it ends; return the number of leaves.

    The row of `ledger_head` is written before anything is read, which takes SQLite's write lock and PostgreSQL's
    row lock: a second writer waits here and then sees all that the first one did.
    """
    dialect = tx.get_bind().dialect.name if isinstance(tx, Session) else tx.dialect.name
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    tx.execute(make(tables.head).values(id=1, size=0, verified=0).on_conflict_do_nothing())
    tx.execute(update(tables.head).values(size=tables.head.c.size))
    return size(tx)


def size(tx: Transaction) -> int:
    """The number of leaves."""
    return int(tx.execute(select(tables.head.c.size)).scalar() or 0)


def read_nodes(tx: Transaction, wanted: Sequence[Node]) -> Mapping[Node, bytes]:
    """The hashes of perfect nodes, in one or two queries.

    Raises:
        LedgerDamaged: one isn't there.
    """
    found: dict[Node, bytes] = {}
    leaves = {node.index: node for node in wanted if node.level == 0}
    interior = {node.position: node for node in wanted if node.level}
    entries, nodes = tables.entries.c, tables.nodes.c
    for chunk in _chunks(list(leaves)):
        for index, value in tx.execute(select(entries.index, entries.leaf_hash).where(entries.index.in_(chunk))):
            found[leaves[index]] = bytes(value)
    for chunk in _chunks(list(interior)):
        for position, value in tx.execute(select(nodes.position, nodes.hash).where(nodes.position.in_(chunk))):
            found[interior[position]] = bytes(value)
    if len(found) != len(leaves) + len(interior):
        raise LedgerDamaged("the stored ledger lacks a hash; run `wardround ledger verify`")
    return found


def frontier(tx: Transaction, leaves: int) -> Frontier:
    """The right edge of the tree over the first ``leaves`` leaves."""
    wanted = cover(0, leaves)
    hashes = read_nodes(tx, wanted)
    return Frontier(leaves, [hashes[node] for node in wanted])


def root(tx: Transaction, leaves: int) -> bytes:
    """The root over the first ``leaves`` leaves."""
    wanted = cover(0, leaves)
    hashes = read_nodes(tx, wanted)
    return fold([hashes[node] for node in wanted])


def extend(tx: Transaction, edge: Frontier, rows: Sequence[Row]) -> None:
    """Store rows as the next leaves; ``edge`` moves along. The caller holds the :func:`lock`."""
    if not rows:
        return
    start = edge.size
    completed = [pair for row in rows for pair in edge.append(row.leaf)]
    tx.execute(
        insert(tables.entries),
        [
            {
                "index": start + offset,
                "leaf_hash": row.leaf,
                "bytes": row.data,
                "origin": row.signed.entry.origin,
                "kind": row.signed.entry.kind,
            }
            for offset, row in enumerate(rows)
        ],
    )
    if completed:
        tx.execute(insert(tables.nodes), [{"position": node.position, "hash": value} for node, value in completed])
    tx.execute(update(tables.head).values(size=edge.size))


def truncate(tx: Transaction, leaves: int) -> None:
    """Drop the leaves from ``leaves`` on, and the nodes over them. The caller holds the :func:`lock`."""
    total = size(tx)
    tx.execute(delete(tables.entries).where(tables.entries.c.index >= leaves))
    dropped = [
        Node(level, index).position
        for level in range(1, total.bit_length() + 1)
        for index in range(leaves >> level, total >> level)
    ]
    for chunk in _chunks(dropped):
        tx.execute(delete(tables.nodes).where(tables.nodes.c.position.in_(chunk)))
    tx.execute(update(tables.head).values(size=leaves))


def find(tx: Transaction, leaves: Iterable[bytes]) -> dict[bytes, int]:
    """Where leaves with these hashes are, for those that are there."""
    wanted, entries, found = list(leaves), tables.entries.c, {}
    for start in range(0, len(wanted), _TOGETHER):
        chunk = wanted[start : start + _TOGETHER]
        for value, index in tx.execute(select(entries.leaf_hash, entries.index).where(entries.leaf_hash.in_(chunk))):
            found[bytes(value)] = int(index)
    return found


def entries(tx: Transaction, start: int, limit: int) -> list[bytes]:
    """The bytes of up to ``limit`` entries from index ``start`` on."""
    columns = tables.entries.c
    rows = tx.execute(select(columns.bytes).where(columns.index >= start).order_by(columns.index).limit(limit))
    return [bytes(data) for (data,) in rows]


def entry(tx: Transaction, index: int) -> Entry | None:
    """The entry at ``index``, or None."""
    data = tx.execute(select(tables.entries.c.bytes).where(tables.entries.c.index == index)).scalar()
    return None if data is None else read_signed_entry(bytes(data)).entry


def members(tx: Transaction, hub: Verifier, before: int) -> Members:
    """The sites that entries before index ``before`` announce; their signatures were checked as they came in."""
    columns = tables.entries.c
    known = Members(hub)
    for (data,) in tx.execute(
        select(columns.bytes).where(columns.kind == "member", columns.index < before).order_by(columns.index)
    ):
        announced = read_signed_entry(bytes(data)).entry
        if isinstance(announced, Member):
            known.enrol(announced)
    return known


def cosigned(tx: Transaction, leaves: int) -> dict[str, str]:
    """The cosignature lines on the checkpoint of that size, by witness in order of name."""
    columns = tables.cosignatures.c
    rows = tx.execute(select(columns.witness, columns.line).where(columns.size == leaves).order_by(columns.witness))
    return {str(witness): str(line) for witness, line in rows}


def keep_cosignature(tx: Transaction, leaves: int, witness: str, line: str) -> None:
    """Keep a checked cosignature; the first of a witness on a size stays."""
    if witness not in cosigned(tx, leaves):
        tx.execute(insert(tables.cosignatures).values(size=leaves, witness=witness, line=line))


def settled(tx: Transaction, hub: Verifier, upto: int, faults: int) -> int:
    """The largest size up to ``upto`` of which a quorum of its members cosigned the checkpoint; 0 if none."""
    column = tables.cosignatures.c.size
    sizes = tx.execute(select(column).where(column <= upto).distinct().order_by(column.desc())).scalars().all()
    for leaves in sizes:
        witnesses = set(members(tx, hub, leaves))
        if is_quorum(len(witnesses & cosigned(tx, leaves).keys()), len(witnesses), faults):
            return int(leaves)
    return 0
