"""Which entries the ledger takes: one rule, which the hub keeps and every mirror checks again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wardround.contracts.ledger_entry import Entry, EntryUnreadable, Seen
from wardround.ledger import store
from wardround.ledger.envelope import Claim, check_together
from wardround.ledger.members import EntryRefused, Members
from wardround.ledger.note import Verifier
from wardround.ledger.references import check_references, named
from wardround.ledger.store import Row, Transaction
from wardround.ledger.tree import Frontier


class OtherHistory(EntryRefused):
    """The entry's origin says that it saw another ledger than this one."""

    code = "other-history"

    def __init__(self, origin: str, seen: Seen) -> None:
        super().__init__(f"{origin} says that it saw another ledger of size {seen.size} than this one")
        self.origin = origin
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Offer:
    """Entries as they were read, and for leaves whose signature was found to hold the key by which it does."""

    rows: Sequence[Row]
    proven: Mapping[bytes, bytes]

    @classmethod
    def read(cls, batch: Sequence[bytes], members: Members, ledger: str) -> Offer:
        """Read signed entries and check their signatures, which takes longer than all else that is done with them and
        needs no transaction. ``members`` needn't be those of now: what was proven by another key than an entry's
        origin has in its turn is checked again.

        Raises:
            EntryRefused: one isn't an entry in its one form.
        """
        try:
            rows = [Row.read(data) for data in batch]
        except EntryUnreadable as error:
            raise EntryRefused(str(error), code=error.code) from error
        return cls(rows, proven_keys(rows, members, ledger))


class Admission:
    """Checks entries in their order, from index ``start`` on, as the next ones of the ledger in this transaction.

    Args:
        rows: all that may come, so that what they name is read at once.
        proven: keys by which their signatures were found to hold before, by leaf.
    """

    def __init__(
        self,
        tx: Transaction,
        hub: Verifier,
        start: int,
        rows: Sequence[Row],
        proven: Mapping[bytes, bytes] = {},
    ) -> None:
        self._tx = tx
        self._start = start
        self._taken: list[Row] = []
        self.members = store.members(tx, hub, start)
        """Those by the entries before the next one."""
        self._proven = proven_keys(rows, self.members, hub.name, proven)
        wanted = {index for row in rows for index in named(row.signed.entry) if index < start}
        self._named = store.entries_at(tx, wanted)
        self._roots: dict[int, bytes] = {}
        self._edge: Frontier | None = None

    def check(self, row: Row) -> None:
        """Check the next entry and count it as taken.

        Raises:
            EntryRefused: with the code of what is wrong.
        """
        entry = row.signed.entry
        self.members.check(row.signed, row.data, proven=self._proven.get(row.leaf))
        check_references(entry, self._start + len(self._taken), self._lookup)
        if entry.seen is not None and self._root(entry.seen.size).hex() != entry.seen.root:
            raise OtherHistory(entry.origin, entry.seen)
        self.members.learn(entry)
        self._taken.append(row)

    def _lookup(self, index: int) -> Entry | None:
        if index < self._start:
            return self._named.get(index)
        place = index - self._start
        return self._taken[place].signed.entry if place < len(self._taken) else None

    def _root(self, size: int) -> bytes:
        """The root at a size, which is no larger than what was taken; entries of one batch name few sizes."""
        if size not in self._roots:
            if size <= self._start:
                self._roots[size] = store.root(self._tx, size)
            else:
                if self._edge is None or self._edge.size > size:
                    self._edge = store.frontier(self._tx, self._start)
                for row in self._taken[self._edge.size - self._start : size - self._start]:
                    self._edge.append(row.leaf)
                self._roots[size] = self._edge.root()
        return self._roots[size]


def proven_keys(
    rows: Sequence[Row], members: Members, ledger: str, before: Mapping[bytes, bytes] = {}
) -> dict[bytes, bytes]:
    """For the leaves whose signature holds, the key by which it does: that which their origin has by the entries before
    them, if those are taken. Whether it is that is asked of each again, in its turn. What was proven ``before`` by that
    key isn't proven again."""
    known = members.copy()
    claims: list[Claim] = []
    leaves: list[bytes] = []
    for row in rows:
        key = known.key_of(row.signed.entry.origin)
        if key is not None and before.get(row.leaf) != key:
            claims.append((row.signed, key, row.data))
            leaves.append(row.leaf)
        try:
            known.learn(row.signed.entry)
        except EntryRefused:
            break
    held = check_together(claims, ledger)
    return dict(before) | {leaf: key for leaf, (_, key, _), holds in zip(leaves, claims, held, strict=True) if holds}
