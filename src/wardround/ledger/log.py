"""The hub's side: take signed entries in order, sign checkpoints, collect cosignatures, answer proofs.

Every call works in a transaction that the caller holds and commits, on SQLite or PostgreSQL. Appends wait for each
other on one row (`store.lock`); on SQLite open the transaction for writing, or the database may refuse the wait.
Publish nothing of a transaction before it is committed: a checkpoint that was rolled back must never be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, update

from wardround.contracts.ledger_entry import Entry
from wardround.foundation.errors import NotFound
from wardround.ledger import store, tables
from wardround.ledger.admission import Admission, Offer
from wardround.ledger.checkpoint import Checkpoint, sign_checkpoint
from wardround.ledger.cosignature import check_cosignature
from wardround.ledger.envelope import sign_entry
from wardround.ledger.members import Members
from wardround.ledger.note import NoteRefused, Signature, SignatureType, Signer
from wardround.ledger.proof import consistency_proof, inclusion_proof
from wardround.ledger.store import Transaction


class Log:
    """The ledger as the hub keeps it.

    Args:
        origin: the ledger's identity, a URL without scheme such as ``hub.example.org/ledger``.
        key: signs checkpoints and the hub's own entries.
    """

    def __init__(self, origin: str, key: Ed25519PrivateKey) -> None:
        self._signer = Signer(origin, SignatureType.NOTE, key)
        self.verifier = self._signer.verifier
        self.origin = origin
        # As far as was seen here, perhaps in a transaction that failed since: what was proven by them is held against
        # the true ones in its turn.
        self._members = Members(self.verifier)

    @property
    def vkey(self) -> str:
        """The verifier key that sites get when they join."""
        return str(self.verifier)

    def append(self, tx: Transaction, data: bytes) -> int:
        """Take one signed entry; see :meth:`append_many`."""
        return self.append_many(tx, [data])[0]

    def append_many(self, tx: Transaction, batch: Sequence[bytes]) -> list[int]:
        """Take signed entries in order, all or none; return the index of each. See :meth:`offer` and :meth:`take`.

        Raises:
            EntryRefused: with the code of what is wrong; nothing of the batch was stored.
        """
        return self.take(tx, self.offer(batch))

    def offer(self, batch: Sequence[bytes]) -> Offer:
        """Read signed entries and check their signatures as far as that goes outside of any transaction: done before
        one is opened for :meth:`take`, nobody else waits for it.

        Raises:
            EntryRefused: one isn't an entry in its one form.
        """
        return Offer.read(batch, self._members, self.origin)

    def take(self, tx: Transaction, offer: Offer) -> list[int]:
        """Take the entries in order, all or none; return the index of each.

        An entry that is there already keeps its index. Each must be in its one form, signed by the origin's key as
        the newest earlier `member` entry has it (the hub's own by the hub's), and fit the entries that it names.

        Raises:
            EntryRefused: with the code of what is wrong; nothing of the batch was stored.
        """
        start = store.lock(tx)
        places = store.find(tx, offer.rows)
        fresh = list({row.leaf: row for row in offer.rows if row.leaf not in places}.values())
        admission = Admission(tx, self.verifier, start, fresh, offer.proven)
        for index, row in enumerate(fresh, start):
            admission.check(row)
            places[row.leaf] = index
        store.extend(tx, store.frontier(tx, start), fresh)
        self._members = admission.members
        return [places[row.leaf] for row in offer.rows]

    def record(self, tx: Transaction, entry: Entry) -> int:
        """Sign and append an entry of the hub's own."""
        return self.append(tx, sign_entry(entry, self._signer.key, self.origin))

    def size(self, tx: Transaction) -> int:
        """The number of entries."""
        return store.size(tx)

    def entries(self, tx: Transaction, start: int, limit: int, most_bytes: int | None = None) -> list[bytes]:
        """The bytes of up to ``limit`` entries from index ``start`` on; see `store.entries`."""
        return store.entries(tx, start, limit, most_bytes)

    def checkpoint(self, tx: Transaction, at: datetime) -> str | None:
        """The note on the whole log: a new one if it grew since the last, else the last; None while it is empty."""
        leaves = store.lock(tx)
        if leaves == 0:
            return None
        known = tx.execute(select(tables.checkpoints.c.note).where(tables.checkpoints.c.size == leaves)).scalar()
        if known is not None:
            return str(known)
        checkpoint = Checkpoint(self.origin, leaves, store.root(tx, leaves))
        note = sign_checkpoint(checkpoint, self._signer)
        tx.execute(insert(tables.checkpoints).values(size=leaves, root=checkpoint.root, note=note, at=at))
        tx.execute(update(tables.head).values(verified=leaves))
        return note

    def published(self, tx: Transaction) -> str | None:
        """The newest checkpoint's note with all cosignatures on it so far; None before the first."""
        columns = tables.checkpoints.c
        newest = tx.execute(select(columns.size).order_by(columns.size.desc()).limit(1)).scalar()
        return None if newest is None else self.cosigned_note(tx, int(newest))

    def cosigned_note(self, tx: Transaction, size: int) -> str:
        """The note of the checkpoint of that size, with its cosignatures.

        Raises:
            NotFound: there is no checkpoint of that size.
        """
        note = store.cosigned_note(tx, self.verifier, size)
        if note is None:
            raise NotFound(f"the ledger has no checkpoint of size {size}; ask for the newest")
        return note

    def newest_cosigned_by(self, tx: Transaction, witness: str) -> tuple[int, str] | None:
        """Size and note of the newest checkpoint with a line of that witness; None if there is none."""
        columns = tables.cosignatures.c
        size = tx.execute(
            select(columns.size).where(columns.witness == witness).order_by(columns.size.desc()).limit(1)
        ).scalar()
        return None if size is None else (int(size), self.cosigned_note(tx, int(size)))

    def add_cosignature(self, tx: Transaction, size: int, line: str) -> str:
        """Keep a witness's line on the checkpoint of that size; return the witness's name.

        The witness must be a member by an entry within that size. A second line of one witness changes nothing.

        Raises:
            NotFound: there is no checkpoint of that size.
            NoteRefused: ``malformed``, ``unsigned`` (no member's key) or ``bad-signature``.
        """
        store.lock(tx)
        row = tx.execute(select(tables.checkpoints.c.root).where(tables.checkpoints.c.size == size)).scalar()
        if row is None:
            raise NotFound(f"the ledger has no checkpoint of size {size}; ask for the newest")
        signature = Signature.parse(line)
        witness = store.members(tx, self.verifier, size).witness(signature.name)
        if witness is None:
            raise NoteRefused("the cosignature is of no member of the ledger at that size", code="unsigned")
        check_cosignature(signature, Checkpoint(self.origin, size, bytes(row)), witness)
        store.keep_cosignature(tx, size, witness.name, line.removesuffix("\n") + "\n")
        store.settle(tx, self.verifier, store.size(tx))
        return witness.name

    def cosigned(self, tx: Transaction, size: int) -> frozenset[str]:
        """The witnesses whose cosignature on the checkpoint of that size is here."""
        return frozenset(store.cosigned(tx, size))

    def settled(self, tx: Transaction) -> int:
        """The largest size that a quorum settled (`store.settled`): entries below it can't be taken back unseen."""
        return store.settled(tx, self.verifier, store.size(tx))

    def inclusion(self, tx: Transaction, index: int, size: int) -> list[bytes]:
        """Audit path of an entry in the tree of that size (RFC 6962, 2.1.1)."""
        self._within(tx, size)
        return inclusion_proof(index, size, lambda nodes: store.read_nodes(tx, nodes))

    def consistency(self, tx: Transaction, first: int, second: int) -> list[bytes]:
        """Proof that the tree of size ``second`` begins with that of ``first`` (RFC 6962, 2.1.2)."""
        self._within(tx, second)
        return consistency_proof(first, second, lambda nodes: store.read_nodes(tx, nodes))

    def _within(self, tx: Transaction, size: int) -> None:
        if size > store.size(tx):
            raise NotFound(f"the ledger has no size {size} yet")
