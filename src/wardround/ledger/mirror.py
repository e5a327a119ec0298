"""A site's side: follow the ledger, check all of it, keep all of it, and cosign what was checked.

A witness persists before it signs: what it vouches for is committed to its disk first, so that after a crash it
signs the same tree again and never another one of that size. A contradiction is kept, with the hub's signed note
as evidence, and stops all signing until a person acts (`trust`).

A witness that was put back from an old backup doesn't know what it signed since. When it is shown a checkpoint with a
line of its own that it doesn't remember, it says so, and signs nothing before it has that very tree again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, update

from wardround.contracts.ledger_entry import Departure, EntryUnreadable, Member, Seen
from wardround.foundation.database import Database
from wardround.ledger import store, tables
from wardround.ledger.admission import Admission, OtherHistory
from wardround.ledger.checkpoint import Checkpoint, open_checkpoint
from wardround.ledger.cosignature import cosign, cosigners
from wardround.ledger.members import EntryRefused, Members
from wardround.ledger.note import SignatureType, Signer, Verifier
from wardround.ledger.store import Row, Transaction
from wardround.ledger.trust import (
    PATIENCE,
    LedgerForked,
    LedgerUntrusted,
    MirrorRefused,
    MirrorState,
    check_not_stopped,
    mirror_state,
    stop,
    untrusted,
)

_log = logging.getLogger(__name__)
_FORGED = frozenset({"unknown-origin", "wrong-origin", "bad-signature"})


class Mirror:
    """One site's copy of the ledger and its witness.

    It opens its own transactions: what it persists must be on disk before it signs, and the record of a fork must
    outlive the refusal that it causes. So never call it inside a transaction of the same database.

    Args:
        database: where `tables.metadata` lives.
        site: this site's name, which its witness key bears.
        hub: the hub's verifier key, as it was given at joining.
        key: signs this site's cosignatures; it may be the key of its entries too, since what each signs is told apart.
        patience: how long a quorum, or an entry that the hub took, is waited for.
    """

    def __init__(
        self,
        database: Database,
        site: str,
        hub: str | Verifier,
        key: Ed25519PrivateKey,
        *,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._database = database
        self._patience = patience
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
            return mirror_state(tx)

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
                check_not_stopped(tx, store.lock(tx))
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
                check_not_stopped(tx, store.lock(tx))
                self._learn(tx, checkpoint, note, at)
                self._learn_cosignatures(tx, checkpoint, note)
        except LedgerForked as fork:
            self._keep_fork(fork, note, at)
            raise

    def settled(self) -> int:
        """The largest size checked here that a quorum settled (`store.settled`), as far as is known here.

        Entries below it are safe to act on: no other tree of this ledger can have a quorum too.
        """
        with self._database.reading() as tx:
            return store.settled(tx, self._hub, mirror_state(tx).verified)

    def settled_members(self) -> Members:
        """The members of the tree that `settled` gives: nobody can have changed one of their keys unseen."""
        with self._database.reading() as tx:
            size = store.settled(tx, self._hub, mirror_state(tx).verified)
            return store.members(tx, self._hub, size)

    def check_trusted(self, at: datetime) -> None:
        """Check that something may rest on the ledger now; to be asked before each use of data.

        Raises:
            LedgerUntrusted: not now; it says why.
        """
        with self._database.reading() as tx:
            why = untrusted(tx, store.settled(tx, self._hub, mirror_state(tx).verified), at, self._patience)
        if why is not None:
            raise LedgerUntrusted(f"nothing is used while the ledger can't be trusted: {why[1]}", reason=why[0])

    def seen(self) -> Seen | None:
        """What this site's entries say that it saw: the largest tree that it checked."""
        columns = tables.checkpoints.c
        with self._database.reading() as tx:
            verified = mirror_state(tx).verified
            root = tx.execute(select(columns.root).where(columns.size == verified)).scalar()
        return None if root is None else Seen(size=verified, root=bytes(root).hex())

    def index_of(self, data: bytes) -> int | None:
        """Where the entry with these bytes is, if it is among those verified here; for no other is it known."""
        with self._database.reading() as tx:
            index = store.index_of(tx, data)
            return index if index is not None and index < mirror_state(tx).verified else None

    def promised(self, data: bytes, index: int, at: datetime) -> None:
        """The hub took this site's entry and named its place: hold it to that.

        Raises:
            LedgerForked: another entry is there already; the mirror is stopped.
        """
        row = Row.read(data)
        try:
            with self._database.writing() as tx:
                store.lock(tx)
                columns = tables.promises.c
                known = select(columns.at).where(columns.index == index, columns.leaf_hash == row.leaf)
                if tx.execute(known).scalar() is None:
                    tx.execute(insert(tables.promises).values(index=index, leaf_hash=row.leaf, at=at))
                _check_promises(tx, mirror_state(tx).verified)
        except LedgerForked as fork:
            self._keep_fork(fork, None, at)
            raise

    def distrust(self, person: str, reason: str, at: datetime) -> None:
        """A person stops the mirror, and with it all use of data here, until `resume`."""
        with self._database.writing() as tx:
            store.lock(tx)
            stop(tx, "distrusted", None, f"{person}: {reason}", None, at)

    def resume(self, person: str, at: datetime) -> None:
        """A person has looked into a fork and lets the mirror follow the hub again, from what was verified here.

        Entries that no checkpoint vouched for yet are dropped. Those verified stay, as do the checkpoints that the
        hub signed: a hub that doesn't return to that history is stopped again.
        """
        with self._database.writing() as tx:
            store.lock(tx)
            state = mirror_state(tx)
            store.truncate(tx, state.verified)
            if state.forked == "entry-dropped":
                tx.execute(delete(tables.promises).where(tables.promises.c.index == state.forked_size))
            tx.execute(
                update(tables.head).values(
                    forked_code=None,
                    forked_size=None,
                    forked_message=None,
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
        rows = self._read(tx, received, entries)
        _tell_of_members(rows)
        edge = store.frontier(tx, received)
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
        restored = mirror_state(tx).restored
        if restored is not None and restored <= edge.size:
            _log.warning("this witness has caught up with the tree of %s entries that it had signed before", restored)
            tx.execute(update(tables.head).values(restored_size=None))
        _check_promises(tx, edge.size)
        self._learn_cosignatures(tx, checkpoint, note)
        return True

    def _read(self, tx: Transaction, start: int, entries: Sequence[bytes]) -> list[Row]:
        """Read entries and hold each to the rules by which the hub takes entries."""
        index, rows = start, list[Row]()
        try:
            for data in entries:
                rows.append(Row.read(data))
                index += 1
            admission, index = Admission(tx, self._hub, start, rows), start
            for row in rows:
                admission.check(row)
                index += 1
        except OtherHistory as error:
            raise LedgerForked(
                f"{error.origin} says in entry {index} that it was shown another ledger of size {error.seen.size} than "
                "this site: the hub shows two",
                code="views-differ",
                size=error.seen.size,
            ) from error
        except (EntryUnreadable, EntryRefused) as error:
            if isinstance(error, EntryUnreadable) or error.code in _FORGED:
                raise LedgerForked(
                    f"entry {index} can't be from its origin: {error}", code="entry-forged", size=index
                ) from error
            raise LedgerForked(
                f"entry {index} had to be refused: {error}", code="entry-unfounded", size=index
            ) from error
        return rows

    def _learn(self, tx: Transaction, checkpoint: Checkpoint, note: str, at: datetime) -> None:
        """Keep a checkpoint that the hub signed, unless it contradicts one that is known or what is on disk."""
        self._remember(tx, checkpoint, note, at)
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

    def _remember(self, tx: Transaction, checkpoint: Checkpoint, note: str, at: datetime) -> None:
        """Notice a line of this witness that it doesn't remember: its disk is older than what it signed."""
        state = mirror_state(tx)
        if checkpoint.size <= max(state.verified, state.restored or 0) or not cosigners(
            note, checkpoint, [self._signer.verifier]
        ):
            return
        if self.site not in store.cosigned(tx, checkpoint.size):
            _log.warning(
                "this witness has signed a tree of %s entries and remembers %s: was a backup put back? It signs "
                "nothing else before it has that tree again",
                checkpoint.size,
                state.verified,
            )
            tx.execute(update(tables.head).values(restored_size=checkpoint.size, restored_at=at))

    def _learn_cosignatures(self, tx: Transaction, checkpoint: Checkpoint, note: str) -> None:
        """Keep the cosignatures in the note that are by members of that size, as far as they are known here."""
        witnesses = store.members(tx, self._hub, checkpoint.size).witnesses()
        for witness, line in cosigners(note, checkpoint, witnesses).items():
            store.keep_cosignature(tx, checkpoint.size, witness, line)
        store.settle(tx, self._hub, mirror_state(tx).verified)

    def _sign(self, checkpoint: Checkpoint, at: datetime) -> str:
        """Cosign what is on disk. A line that was made before is given again."""
        with self._database.writing() as tx:
            store.lock(tx)
            state = check_not_stopped(tx, checkpoint.size)
            if state.verified < checkpoint.size or store.root(tx, checkpoint.size) != checkpoint.root:
                raise MirrorRefused("the mirror changed meanwhile; ask the hub again")
            if state.restored is not None:
                raise MirrorRefused(
                    f"this witness signed a tree of {state.restored} entries, which it hasn't caught up with",
                    code="restored",
                )
            made = store.cosigned(tx, checkpoint.size).get(self.site)
            line = made or cosign(checkpoint, self._signer, at)
            store.keep_cosignature(tx, checkpoint.size, self.site, line)
            store.settle(tx, self._hub, state.verified)
        return line

    def _keep_fork(self, fork: LedgerForked, note: str | None, at: datetime) -> None:
        with self._database.writing() as tx:
            store.lock(tx)
            if mirror_state(tx).forked is None:
                _log.error("the ledger can't be trusted, and all use of data stops: %s [%s]", fork, fork.code)
            stop(tx, fork.code, fork.size, str(fork), note, at)


def _tell_of_members(rows: Sequence[Row]) -> None:
    """Who comes and goes decides who makes a quorum, and it is the hub that says so: it doesn't go by unseen."""
    for row in rows:
        entry = row.signed.entry
        if isinstance(entry, Member):
            _log.info("the ledger's members: the hub announces %s", entry.site)
        elif isinstance(entry, Departure):
            _log.warning(
                "the ledger's members: the hub takes %s out (%s); ask that hospital, if you didn't know",
                entry.site,
                entry.reason,
            )


def _check_promises(tx: Transaction, verified: int) -> None:
    """Strike off what the hub showed as it had promised.

    Raises:
        LedgerForked: ``entry-dropped``, if it shows something else in that place.
    """
    columns = tables.promises.c
    for index, leaf in tx.execute(select(columns.index, columns.leaf_hash).where(columns.index < verified)).all():
        entries = tables.entries.c
        there = tx.execute(select(entries.leaf_hash).where(entries.index == index)).scalar()
        if there is None or bytes(there) != bytes(leaf):
            raise LedgerForked(
                f"the hub took this site's entry as number {index} and shows another one there",
                code="entry-dropped",
                size=int(index),
            )
    tx.execute(delete(tables.promises).where(columns.index < verified))
