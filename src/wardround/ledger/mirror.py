"""A site's side: follow the ledger, check all of it, keep all of it, and cosign what was checked.

A witness persists before it signs: what it vouches for is committed to its disk first, so that after a crash it
signs the same tree again and never another one of that size. A contradiction is kept, with the hub's signed note
as evidence, and stops all signing until a person acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, update

from wardround.contracts.ledger_entry import EntryUnreadable, Member, read_signed_entry
from wardround.foundation.database import Database
from wardround.foundation.errors import WardroundError
from wardround.ledger import store, tables
from wardround.ledger.checkpoint import Checkpoint, open_checkpoint
from wardround.ledger.cosignature import cosign, cosigners
from wardround.ledger.members import EntryRefused
from wardround.ledger.note import SignatureType, Signer, Verifier
from wardround.ledger.store import Row, Transaction
from wardround.ledger.tree import leaf_hash


class MirrorRefused(WardroundError):
    """What the hub sent doesn't fit here yet, without contradicting anything: ask again.

    Codes: ``wrong-start`` (entries from another index than asked for), ``beyond-checkpoint`` (more entries than the
    checkpoint covers), ``stale`` (a larger checkpoint is known already).
    """

    code = "stale"


class LedgerForked(WardroundError):
    """The hub contradicts itself or what this site has on disk. The mirror is stopped until a person acts.

    Codes: ``two-roots`` (two checkpoints of one size), ``history-changed`` (a checkpoint whose root isn't that of
    the entries on disk), ``entries-differ`` (new entries don't make the root of their checkpoint),
    ``entry-forged`` (an entry not signed by its origin, or unreadable).

    Attributes:
        size: the size of the tree, or the index of the entry, at which it shows.
    """

    def __init__(self, message: str, *, code: str, size: int) -> None:
        super().__init__(message, code=code)
        self.size = size


@dataclass(frozen=True)
class MirrorState:
    """Where a mirror stands.

    Attributes:
        received: entries on disk; the index to ask the hub for next.
        verified: entries that make the root of a checkpoint that the hub signed.
        forked: why the mirror is stopped, or None.
        forked_size: where that shows.
    """

    received: int
    verified: int
    forked: str | None = None
    forked_size: int | None = None


class Mirror:
    """One site's copy of the ledger and its witness.

    It opens its own transactions: what it persists must be on disk before it signs, and the record of a fork must
    outlive the refusal that it causes. So never call it inside a transaction of the same database.

    Args:
        database: where `tables.metadata` lives.
        site: this site's name, which its witness key bears.
        hub: the hub's verifier key, as it was given at joining.
        key: signs this site's cosignatures; it may be the key of its entries too, since what each signs is told apart.
    """

    def __init__(self, database: Database, site: str, hub: str | Verifier, key: Ed25519PrivateKey) -> None:
        self._database = database
        self._hub = Verifier.parse(hub) if isinstance(hub, str) else hub
        self._signer = Signer(site, SignatureType.COSIGNATURE, key)
        self.site = site

    @property
    def vkey(self) -> str:
        """This witness's verifier key, which the hub announces in the site's `member` entry."""
        return str(self._signer.verifier)

    def state(self) -> MirrorState:
        """Where the mirror stands now."""
        with self._database.reading() as tx:
            return _state(tx)

    def take(self, start: int, entries: Sequence[bytes], note: str, at: datetime) -> str | None:
        """Take the next entries, from index ``start`` on, under the hub's newest checkpoint note.

        A batch may end before the checkpoint does: it is kept, and None is returned; ask for more from
        ``state().received``. Once all entries of the checkpoint are here and make its root, the mirror commits and
        returns its cosignature line. Called again with no entries it returns the line again.

        Raises:
            NoteRefused: the note isn't a checkpoint of this ledger signed by the hub; nothing was kept.
            MirrorRefused: it doesn't fit here yet; nothing was kept.
            LedgerForked: a contradiction, now or earlier.
        """
        checkpoint = open_checkpoint(note, self._hub)
        try:
            with self._database.writing() as tx:
                _stop_if_forked(tx, store.lock(tx))
                whole = self._follow(tx, start, entries, checkpoint, note, at)
        except LedgerForked as fork:
            self._keep_fork(fork, note, at)
            raise
        return self._sign(checkpoint, at) if whole else None

    def observe(self, note: str, at: datetime) -> None:
        """Learn of a checkpoint from anywhere: another site, a file, or the hub with cosignatures on it.

        Raises:
            NoteRefused: the note isn't a checkpoint of this ledger signed by the hub; nothing was kept.
            LedgerForked: it contradicts what is here, or something did so earlier.
        """
        checkpoint = open_checkpoint(note, self._hub)
        try:
            with self._database.writing() as tx:
                _stop_if_forked(tx, store.lock(tx))
                self._learn(tx, checkpoint, note, at)
                self._learn_cosignatures(tx, checkpoint, note)
        except LedgerForked as fork:
            self._keep_fork(fork, note, at)
            raise

    def settled(self, faults: int = 0) -> int:
        """The largest size checked here that a quorum of its members cosigned, as far as is known here.

        Entries below it are safe to act on: no other tree of this ledger can have a quorum too.
        """
        with self._database.reading() as tx:
            return store.settled(tx, self._hub, _state(tx).verified, faults)

    def index_of(self, data: bytes) -> int | None:
        """Where a signed entry lies in what was checked here, or None; what the hub says of it counts for nothing."""
        leaf = leaf_hash(data)
        with self._database.reading() as tx:
            index = store.find(tx, [leaf]).get(leaf)
            return index if index is not None and index < _state(tx).verified else None

    def resume(self, person: str, at: datetime) -> None:
        """A person has looked into a fork and lets the mirror follow the hub again, from what was verified here.

        Entries that no checkpoint vouched for yet are dropped. Those verified stay, as do the checkpoints that the
        hub signed: a hub that doesn't return to that history is stopped again.
        """
        with self._database.writing() as tx:
            store.lock(tx)
            store.truncate(tx, _state(tx).verified)
            tx.execute(
                update(tables.head).values(
                    forked_code=None,
                    forked_size=None,
                    forked_note=None,
                    forked_at=None,
                    resumed_by=person,
                    resumed_at=at,
                )
            )

    def _follow(
        self, tx: Transaction, start: int, entries: Sequence[bytes], checkpoint: Checkpoint, note: str, at: datetime
    ) -> bool:
        """Take entries into the transaction; True once they reach the checkpoint and make its root."""
        self._learn(tx, checkpoint, note, at)
        received = store.size(tx)
        largest = tx.execute(
            select(tables.checkpoints.c.size).order_by(tables.checkpoints.c.size.desc()).limit(1)
        ).scalar_one()
        if checkpoint.size < largest:
            raise MirrorRefused(
                f"a checkpoint of size {largest} is known here; one of {checkpoint.size} is out of date"
            )
        if start != received:
            raise MirrorRefused(
                f"entries from {start} don't continue a mirror of {received}; ask for those from {received}",
                code="wrong-start",
            )
        if received + len(entries) > checkpoint.size:
            raise MirrorRefused(f"the checkpoint covers {checkpoint.size} entries; more came", code="beyond-checkpoint")
        edge = store.frontier(tx, received)
        rows = self._read(tx, received, entries)
        columns = tables.checkpoints.c
        known = tx.execute(
            select(columns.size, columns.root)
            .where(columns.size > received, columns.size <= received + len(rows))
            .order_by(columns.size)
        ).all()
        for size, root in known:
            store.extend(tx, edge, rows[edge.size - received : int(size) - received])
            if edge.root() != bytes(root):
                raise LedgerForked(
                    f"the entries don't make the root of the checkpoint of size {size}",
                    code="entries-differ",
                    size=int(size),
                )
        store.extend(tx, edge, rows[edge.size - received :])
        if edge.size < checkpoint.size:
            return False
        tx.execute(update(tables.head).values(verified=edge.size))
        self._learn_cosignatures(tx, checkpoint, note)
        return True

    def _read(self, tx: Transaction, start: int, entries: Sequence[bytes]) -> list[Row]:
        """Read entries and check the signature of each by the keys announced before it."""
        members = store.members(tx, self._hub, start)
        rows: list[Row] = []
        for index, data in enumerate(entries, start):
            try:
                signed = read_signed_entry(data)
                members.check(signed)
                if isinstance(signed.entry, Member):
                    members.enrol(signed.entry)
            except (EntryUnreadable, EntryRefused) as error:
                raise LedgerForked(
                    f"entry {index} can't be from its origin: {error}", code="entry-forged", size=index
                ) from error
            rows.append(Row(leaf_hash(data), data, signed))
        return rows

    def _learn(self, tx: Transaction, checkpoint: Checkpoint, note: str, at: datetime) -> None:
        """Keep a checkpoint that the hub signed, unless it contradicts one that is known or what is on disk."""
        known = tx.execute(
            select(tables.checkpoints.c.root).where(tables.checkpoints.c.size == checkpoint.size)
        ).scalar()
        if known is not None:
            if bytes(known) != checkpoint.root:
                raise LedgerForked(
                    f"the hub signed two trees of size {checkpoint.size}", code="two-roots", size=checkpoint.size
                )
            return
        if checkpoint.size <= store.size(tx) and store.root(tx, checkpoint.size) != checkpoint.root:
            raise LedgerForked(
                f"the hub signed another history than the {checkpoint.size} entries that it sent",
                code="history-changed",
                size=checkpoint.size,
            )
        tx.execute(insert(tables.checkpoints).values(size=checkpoint.size, root=checkpoint.root, note=note, at=at))

    def _learn_cosignatures(self, tx: Transaction, checkpoint: Checkpoint, note: str) -> None:
        """Keep the cosignatures in the note that are by members of that size, as far as they are known here."""
        witnesses = store.members(tx, self._hub, checkpoint.size).witnesses()
        for witness, line in cosigners(note, checkpoint, witnesses).items():
            store.keep_cosignature(tx, checkpoint.size, witness, line)

    def _sign(self, checkpoint: Checkpoint, at: datetime) -> str:
        """Cosign what is on disk. A line that was made before is given again."""
        with self._database.writing() as tx:
            store.lock(tx)
            state = _stop_if_forked(tx, checkpoint.size)
            if state.verified < checkpoint.size or store.root(tx, checkpoint.size) != checkpoint.root:
                raise MirrorRefused("the mirror changed meanwhile; ask the hub again")
            made = store.cosigned(tx, checkpoint.size).get(self.site)
            line = made or cosign(checkpoint, self._signer, at)
            store.keep_cosignature(tx, checkpoint.size, self.site, line)
        return line

    def _keep_fork(self, fork: LedgerForked, note: str, at: datetime) -> None:
        with self._database.writing() as tx:
            store.lock(tx)
            tx.execute(
                update(tables.head)
                .where(tables.head.c.forked_code.is_(None))
                .values(forked_code=fork.code, forked_size=fork.size, forked_note=note, forked_at=at)
            )


def _state(tx: Transaction) -> MirrorState:
    columns = tables.head.c
    row = tx.execute(select(columns.size, columns.verified, columns.forked_code, columns.forked_size)).one_or_none()
    return MirrorState(0, 0) if row is None else MirrorState(*row)


def _stop_if_forked(tx: Transaction, size: int) -> MirrorState:
    state = _state(tx)
    if state.forked is not None:
        raise LedgerForked(
            "the ledger forked, and this site cosigns nothing until a person has looked into it",
            code=state.forked,
            size=size if state.forked_size is None else state.forked_size,
        )
    return state
