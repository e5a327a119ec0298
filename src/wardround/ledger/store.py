"""The ledger's rows: what hub and node both do with them, inside the transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Entry, SignedEntry, read_signed_entry
from wardround.foundation.errors import WardroundError
from wardround.ledger import tables
from wardround.ledger.members import SPEAK_OF_MEMBERS, Members
from wardround.ledger.note import Note, Verifier
from wardround.ledger.tree import Frontier, Node, cover, fold, leaf_hash

Transaction = Connection | Session
"""Where rows are read and written; the caller commits."""

_TOGETHER = 500
"""Values in one query: well below what either database takes."""


class LedgerDamaged(WardroundError):
    """The stored ledger lacks rows that it must have; mend it from a backup or from another site's mirror."""

    code = "ledger-damaged"


@dataclass(frozen=True, slots=True)
class Row:
    """A leaf ready to be stored."""

    leaf: bytes
    data: bytes
    signed: SignedEntry

    @classmethod
    def read(cls, data: bytes) -> Row:
        """Read the bytes of a signed entry.

        Raises:
            EntryUnreadable: they aren't one in its one form.
        """
        return cls(leaf_hash(data), data, read_signed_entry(data))

    @property
    def lookup(self) -> int:
        """The key by which the leaf is found again: 33 bits of the entry's time in seconds, 30 of its hash."""
        return lookup_key(self.signed.entry.at, self.leaf)


def lookup_key(at: datetime, leaf: bytes) -> int:
    """See `Row.lookup`. Leaves may share a key; only the leaf hash tells them apart."""
    return (int(at.timestamp()) & (2**33 - 1)) << 30 | int.from_bytes(leaf[:4], "big") >> 2


def connection_of(tx: Transaction) -> Connection:
    """The connection of a transaction, for what the driver does faster by itself."""
    return tx.connection() if isinstance(tx, Session) else tx


def _chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _TOGETHER):
        yield values[start : start + _TOGETHER]


def lock(tx: Transaction) -> int:
    """Make this the one transaction that writes the ledger, until it ends; return the number of leaves.

    The row of `ledger_head` is written before anything is read, which takes SQLite's write lock and PostgreSQL's
    row lock: a second writer waits here and then sees all that the first one did.
    """
    make = sqlite.insert if connection_of(tx).dialect.name == "sqlite" else postgresql.insert
    tx.execute(make(tables.head).values(id=1, size=0, verified=0, settled=0).on_conflict_do_nothing())
    tx.execute(update(tables.head).values(size=tables.head.c.size))
    return size(tx)


def size(tx: Transaction) -> int:
    """The number of leaves."""
    return int(tx.execute(select(tables.head.c.size)).scalar() or 0)


def read_nodes(tx: Transaction, wanted: Sequence[Node]) -> Mapping[Node, bytes]:
    """The hashes of perfect nodes, of which a proof takes O(log n), in one query.

    Raises:
        LedgerDamaged: one isn't there.
    """
    found: dict[Node, bytes] = {}
    leaves = {node.index: node for node in wanted if node.level == 0}
    interior = {node.position: node for node in wanted if node.level}
    connection = connection_of(tx)
    ours, theirs = _one_of(connection, len(leaves)), _one_of(connection, len(interior))
    query = (
        f'SELECT 0, "index", leaf_hash FROM ledger_entries WHERE "index" {ours} '  # noqa: S608 - marks alone
        f"UNION ALL SELECT 1, position, hash FROM ledger_nodes WHERE position {theirs}"
    )
    for level, key, value in connection.exec_driver_sql(query, _marked(connection, leaves, interior)):
        found[(interior if level else leaves)[key]] = bytes(value)
    if len(found) != len(leaves) + len(interior):
        raise LedgerDamaged("the stored ledger lacks a hash; run `wardround ledger verify`")
    return found


def _one_of(connection: Connection, count: int) -> str:
    """A condition on an integer, with marks for the driver: so statements aren't built anew each time."""
    return f"IN ({','.join('?' * count)})" if connection.dialect.name == "sqlite" else "= ANY(%s)"


def _marked(connection: Connection, *keys: Iterable[int]) -> tuple[Any, ...]:
    """What goes in the places of the marks of :func:`_one_of`."""
    if connection.dialect.name == "sqlite":
        return tuple(key for group in keys for key in group)
    return tuple(list(group) for group in keys)


def _where(connection: Connection, query: str, keys: Sequence[int]) -> Sequence[Any]:
    """Rows of a query that ends with the name of an integer column, by its values."""
    return connection.exec_driver_sql(f"{query} {_one_of(connection, len(keys))}", _marked(connection, keys)).all()


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
    completed = [(node.position, value) for row in rows for node, value in edge.append(row.leaf)]
    leaves = [
        (start + offset, row.lookup, row.leaf, row.data, row.signed.entry.origin, row.signed.entry.kind)
        for offset, row in enumerate(rows)
    ]
    connection = connection_of(tx)
    write = _insert if connection.dialect.name == "sqlite" else _copy
    write(connection, "ledger_entries", _ENTRY_COLUMNS, leaves)
    if completed:
        write(connection, "ledger_nodes", _NODE_COLUMNS, completed)
    tx.execute(update(tables.head).values(size=edge.size))


_ENTRY_COLUMNS = {
    '"index"': "int8",
    "lookup": "int8",
    "leaf_hash": "bytea",
    "bytes": "bytea",
    "origin": "varchar",
    "kind": "varchar",
}
_NODE_COLUMNS = {"position": "int8", "hash": "bytea"}


def _insert(connection: Connection, table: str, columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    marks = ",".join("?" * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks})", list(rows))  # noqa: S608 - constants of this module


def _copy(connection: Connection, table: str, columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table} ({','.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(list(columns.values()))
        for row in rows:
            copy.write_row(row)


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


def find(tx: Transaction, rows: Iterable[Row]) -> dict[bytes, int]:
    """Where leaves are, by leaf hash: each of these that is there, and others that share a key with one of them."""
    keys = list({row.lookup for row in rows})
    query = 'SELECT leaf_hash, "index" FROM ledger_entries WHERE lookup'
    found: dict[bytes, int] = {}
    for chunk in _chunks(keys):
        for value, index in _where(connection_of(tx), query, chunk):
            found[bytes(value)] = int(index)
    return found


def index_of(tx: Transaction, data: bytes) -> int | None:
    """Where the entry with these bytes is, or None where it isn't here.

    Raises:
        EntryUnreadable: as `Row.read`.
    """
    row = Row.read(data)
    return find(tx, [row]).get(row.leaf)


def entries(tx: Transaction, start: int, limit: int, most_bytes: int | None = None) -> list[bytes]:
    """The bytes of up to ``limit`` entries from index ``start`` on, and of no more than together have ``most_bytes``,
    but of one at least."""
    columns = tables.entries.c
    query = select(columns.bytes).where(columns.index >= start).order_by(columns.index).limit(limit)
    found: list[bytes] = []
    total = 0
    for (data,) in tx.execute(query):
        total += len(data)
        if most_bytes is not None and found and total > most_bytes:
            break
        found.append(bytes(data))
    return found


def entries_at(tx: Transaction, indices: Iterable[int]) -> dict[int, Entry]:
    """The entries at these indices, for those that are there."""
    found: dict[int, Entry] = {}
    query = 'SELECT "index", bytes FROM ledger_entries WHERE "index"'
    for chunk in _chunks(sorted(set(indices))):
        for index, data in _where(connection_of(tx), query, chunk):
            found[int(index)] = read_signed_entry(bytes(data)).entry
    return found


def entry(tx: Transaction, index: int) -> Entry | None:
    """The entry at ``index``, or None."""
    data = tx.execute(select(tables.entries.c.bytes).where(tables.entries.c.index == index)).scalar()
    return None if data is None else read_signed_entry(bytes(data)).entry


def members(tx: Transaction, hub: Verifier, before: int) -> Members:
    """The sites that are members by entries before index ``before``; their signatures were checked as they came in."""
    columns = tables.entries.c
    known = Members(hub)
    about_members = columns.kind.in_(SPEAK_OF_MEMBERS)
    for (data,) in tx.execute(
        select(columns.bytes).where(about_members, columns.index < before).order_by(columns.index)
    ):
        known.learn(read_signed_entry(bytes(data)).entry)
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


def newest_checkpoint(tx: Transaction) -> int | None:
    """The size of the largest checkpoint that is known here."""
    size = tx.execute(select(func.max(tables.checkpoints.c.size))).scalar()
    return None if size is None else int(size)


def cosigned_note(tx: Transaction, log: Verifier, leaves: int) -> str | None:
    """The checkpoint of that size with the log's signature and the cosignatures that are here; None if it isn't."""
    note = tx.execute(select(tables.checkpoints.c.note).where(tables.checkpoints.c.size == leaves)).scalar()
    if note is None:
        return None
    head, _, tail = str(note).rpartition("\n\n")
    signatures = Note.parse(note).signatures
    lines = zip(signatures, tail.splitlines(keepends=True), strict=True)
    kept = [line for signature, line in lines if signature.is_from(log)]
    return "".join([head, "\n\n", *kept, *cosigned(tx, leaves).values()])


def settled(tx: Transaction, hub: Verifier, upto: int) -> int:
    """The largest size up to ``upto`` that a quorum settled; 0 if none.

    Who is a witness is itself said by the ledger, so whoever could change that unseen could make a quorum of its own.
    Hence a checkpoint is settled by a quorum of the members of the last *settled* tree, each with the key that it had
    there: a newcomer, or a new key, counts once those before have cosigned its announcement, and whoever leaves is
    counted among those of whom a quorum is due until such a quorum of the others has cosigned its leaving. The first
    checkpoint that is settled here has none before it; its own members count.
    """
    leaves = int(tx.execute(select(tables.head.c.settled)).scalar() or 0)
    in_force = members(tx, hub, leaves)
    column = tables.cosignatures.c.size
    while True:
        fewest = in_force.fewest
        # Where a quorum has been out of reach for long, checkpoints with too few cosignatures are many.
        later = select(column).where(column > leaves, column <= upto).group_by(column).order_by(column)
        for size in tx.execute(later.having(func.count() >= fewest)).scalars().all():
            then = members(tx, hub, size)
            if settles(cosigned(tx, size), then, in_force):
                leaves, in_force = int(size), then
                if in_force.fewest != fewest:
                    break
        else:
            return leaves


def settles(cosigned_by: Iterable[str], then: Members, in_force: Members) -> bool:
    """Whether a tree with the members ``then`` is settled by those who cosigned it, after one with ``in_force``."""
    judges = in_force if len(in_force) else then
    return judges.quorum_of([site for site in cosigned_by if then.witness(site) == judges.witness(site)])


def settle(tx: Transaction, hub: Verifier, upto: int) -> int:
    """Keep how far the ledger is :func:`settled`, and return it. The caller holds the :func:`lock`."""
    leaves = settled(tx, hub, upto)
    tx.execute(update(tables.head).values(settled=leaves))
    return leaves
