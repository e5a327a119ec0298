"""Checking a whole stored ledger, at hub or site, with nothing but the database and the hub's verifier key.

Everything is computed again from the entries' bytes: leaves, interior nodes, the root at every checkpoint, every
signature by the keys announced before it, and what entries say of each other. Memory doesn't grow with the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import func, select

from wardround.contracts.ledger_entry import Entry, EntryUnreadable, read_signed_entry
from wardround.ledger import store, tables
from wardround.ledger.admission import OtherHistory, proven_keys
from wardround.ledger.checkpoint import Checkpoint, open_checkpoint
from wardround.ledger.cosignature import check_cosignature
from wardround.ledger.members import EntryRefused, Members
from wardround.ledger.note import NoteRefused, Verifier
from wardround.ledger.references import check_references
from wardround.ledger.store import Row, Transaction
from wardround.ledger.tree import Frontier, leaf_hash

_BATCH = 1000

_MEND = {
    "entry-missing": "restore the database from a backup, or build this copy anew from another site's mirror",
    "entry-changed": "this copy was edited or damaged on disk; restore it and find out who wrote to the database",
    "node-changed": "build this copy's tree anew from its entries; then find out who wrote to the database",
    "root-differs": "these entries aren't those that the hub signed; compare with another site and tell all sites",
    "checkpoint": "the stored checkpoint isn't one that the hub signed; compare with another site's",
    "cosignature": "drop the line and ask the witness to cosign again; tell the site whose name it bears",
    "other-history": "its origin was shown another ledger than this one; compare checkpoints with that site",
    "head": "the recorded size is wrong; restore the database from a backup",
    "forked": "`wardround ledger status` says what a person does now",
}
_MEND_ENTRY = "the hub took an entry that it had to refuse; tell all sites, and rest nothing on it or what names it"


@dataclass(frozen=True)
class Problem:
    """Something that doesn't hold.

    Attributes:
        index: the entry's index, or the size of the tree for what is about a checkpoint.
        reason: one stable word.
        message: what is wrong.
        mend: what to do.
    """

    index: int
    reason: str
    message: str
    mend: str


@dataclass(frozen=True)
class Verified:
    """The outcome of a full check.

    Attributes:
        entries: how many entries were read.
        root: root over all of them, in hexadecimal.
        size: size of the newest checkpoint that holds; 0 if none does.
        cosigned_by: the members whose cosignature on that checkpoint holds, by name.
        members: the members at that size, by name.
        quorum_met: whether a quorum settled that checkpoint.
        settled: the largest size that holds and that a quorum settled (`store.settled`).
        problems: all that doesn't hold; empty if the ledger is as it should be.
    """

    entries: int
    root: str
    size: int
    cosigned_by: tuple[str, ...]
    members: tuple[str, ...]
    quorum_met: bool
    settled: int
    problems: tuple[Problem, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems


@dataclass
class _Check:
    """What is known while reading on."""

    tx: Transaction
    hub: Verifier
    members: Members
    in_force: Members
    edge: Frontier = field(default_factory=Frontier)
    problems: list[Problem] = field(default_factory=list)
    size: int = 0
    cosigned_by: tuple[str, ...] = ()
    members_then: tuple[str, ...] = ()
    settled: int = 0
    nodes: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    proven: Mapping[bytes, bytes] = field(default_factory=dict)

    def wrong(self, index: int, reason: str, message: str) -> None:
        self.problems.append(Problem(index, reason, message, _MEND.get(reason, _MEND_ENTRY)))

    def ahead(self, batch: Sequence[bytes]) -> None:
        """Verify the signatures of the entries that come next, on all cores; each is judged in its turn."""
        rows = []
        for data in batch:
            with suppress(EntryUnreadable):
                rows.append(Row.read(data))
        self.proven = proven_keys(rows, self.members, self.hub.name)

    def entry(self, index: int, leaf: bytes, data: bytes, origin: str, kind: str) -> None:
        """One entry: its leaf, its signature, its references; then the tree grows by it."""
        actual = leaf_hash(data)
        if actual != leaf:
            self.wrong(index, "entry-changed", "the entry's bytes don't make its stored leaf hash")
        try:
            signed = read_signed_entry(data)
            entry = signed.entry
            if (entry.origin, entry.kind) != (origin, kind):
                self.wrong(index, "entry-changed", "the stored origin or kind isn't the entry's own")
            self.members.check(signed, data, proven=self.proven.get(actual))
            check_references(entry, index, lambda named: self._earlier(named, index))
            if entry.seen is not None and store.root(self.tx, entry.seen.size).hex() != entry.seen.root:
                raise OtherHistory(entry.origin, entry.seen)
            self.members.learn(entry)
        except (EntryUnreadable, EntryRefused) as error:
            self.wrong(index, error.code, str(error))
        for node, value in self.edge.append(actual):
            self.nodes[node.position] = (index, value)
        if len(self.nodes) >= _BATCH:
            self.compare_nodes()

    def _earlier(self, named: int, index: int) -> Entry | None:
        try:
            return store.entry(self.tx, named) if named < index else None
        except EntryUnreadable:
            return None

    def compare_nodes(self) -> None:
        """Compare the interior hashes made since the last time with the stored ones."""
        columns = tables.nodes.c
        stored = {
            int(position): bytes(value)
            for position, value in self.tx.execute(
                select(columns.position, columns.hash).where(columns.position.in_(list(self.nodes)))
            )
        }
        for position, (index, value) in self.nodes.items():
            if stored.get(position) != value:
                self.wrong(index, "node-changed", "a stored interior hash isn't that of the entries below it")
        self.nodes.clear()

    def checkpoint(self, size: int, root: bytes, note: str) -> None:
        """A stored checkpoint of the size that was just reached, and the cosignatures on it."""
        checkpoint = Checkpoint(self.hub.name, size, self.edge.root())
        try:
            signed = open_checkpoint(note, self.hub)
        except NoteRefused as error:
            self.wrong(size, "checkpoint", f"the checkpoint doesn't hold: {error}")
            return
        if (signed.size, signed.root) != (size, root):
            self.wrong(size, "checkpoint", "the stored size or root isn't that of the signed note")
            return
        if signed != checkpoint:
            self.wrong(size, "root-differs", "the entries don't make the root that the hub signed")
            return
        names: set[str] = set()
        for site, line in store.cosigned(self.tx, size).items():
            witness = self.members.witness(site)
            try:
                if witness is None:
                    raise NoteRefused(f"{site} is no member at that size", code="unsigned")
                check_cosignature(line, checkpoint, witness)
            except NoteRefused as error:
                self.wrong(size, "cosignature", f"a cosignature doesn't hold: {error}")
                continue
            names.add(site)
        self.size, self.cosigned_by = size, tuple(sorted(names))
        self.members_then = tuple(sorted(self.members))
        if store.settles(names, self.members, self.in_force):
            self.settled, self.in_force = size, self.members.copy()


def _entries(check: _Check, size: int) -> Iterator[tuple[int, bytes, bytes, str, str]]:
    columns, last = tables.entries.c, -1
    query = select(columns.index, columns.leaf_hash, columns.bytes, columns.origin, columns.kind).where(
        columns.index < size
    )
    while batch := check.tx.execute(query.where(columns.index > last).order_by(columns.index).limit(_BATCH)).all():
        check.ahead([bytes(data) for _, _, data, _, _ in batch])
        for index, leaf, data, origin, kind in batch:
            yield index, bytes(leaf), bytes(data), origin, kind
        last = batch[-1][0]


def _checkpoints(tx: Transaction) -> Iterator[tuple[int, bytes, str]]:
    columns, last = tables.checkpoints.c, -1
    query = select(columns.size, columns.root, columns.note)
    while batch := tx.execute(query.where(columns.size > last).order_by(columns.size).limit(_BATCH)).all():
        for size, root, note in batch:
            yield size, bytes(root), note
        last = batch[-1][0]


def verify(tx: Transaction, hub: str | Verifier) -> Verified:
    """Check the whole ledger in this database; nothing is written and no other machine is asked.

    The ledger is checked as far as it went when the check began; writers may go on meanwhile.

    Args:
        tx: a transaction for reading.
        hub: the hub's verifier key, from a source other than this database.

    Raises:
        NoteRefused: the hub's verifier key is malformed.
    """
    verifier = Verifier.parse(hub) if isinstance(hub, str) else hub
    check = _Check(tx, verifier, Members(verifier), Members(verifier))
    state = tx.execute(
        select(tables.head.c.size, tables.head.c.verified, tables.head.c.forked_code, tables.head.c.forked_size)
    ).one_or_none()
    size, verified, forked, forked_size = (0, 0, None, None) if state is None else state
    checkpoints = _checkpoints(tx)
    upcoming = next(checkpoints, None)
    for index, leaf, data, origin, kind in _entries(check, size):
        if index != check.edge.size:
            check.wrong(check.edge.size, "entry-missing", f"there is no entry {check.edge.size}")
            break
        check.entry(index, leaf, data, origin, kind)
        while upcoming is not None and upcoming[0] <= check.edge.size:
            check.checkpoint(*upcoming)
            upcoming = next(checkpoints, None)
    check.compare_nodes()
    beyond = tx.execute(select(func.max(tables.entries.c.index))).scalar()
    if check.edge.size != size or (beyond is not None and beyond >= store.size(tx)):
        check.wrong(
            check.edge.size, "head", f"{size} entries are recorded, {check.edge.size} of them are here in order"
        )
    if forked is not None:
        check.wrong(forked_size or 0, "forked", f"this mirror stopped: the hub's ledger forked ({forked})")
    if upcoming is not None and upcoming[0] <= verified:
        check.wrong(upcoming[0], "entry-missing", f"entries up to {upcoming[0]} were here once")
    return Verified(
        entries=check.edge.size,
        root=check.edge.root().hex(),
        size=check.size,
        cosigned_by=check.cosigned_by,
        members=check.members_then,
        quorum_met=0 < check.size == check.settled,
        settled=check.settled,
        problems=tuple(check.problems),
    )
