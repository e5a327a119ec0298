"""The public keys with which anyone can judge a proof: the hub's, the witnesses', and how many of them may be faulty.

As a file: one C2SP verifier key (vkey) a line, and a line ``faults N`` where N isn't 0. Empty lines and lines that
begin with ``#`` say nothing. Whoever checks a proof gets this file from people whom they trust, never with the proof.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from wardround.ledger import store
from wardround.ledger.note import NoteRefused, SignatureType, Verifier
from wardround.ledger.quorum import is_quorum, quorum
from wardround.ledger.store import Transaction

_FAULTS = re.compile(r"faults (0|[1-9][0-9]{0,3})")
LARGEST_FILE = 256 * 1024


@dataclass(frozen=True)
class LedgerKeys:
    """The hub's verifier, the witnesses' by name, and the number of faulty witnesses to be borne."""

    hub: Verifier
    witnesses: tuple[Verifier, ...]
    faults: int = 0

    @property
    def quorum(self) -> int:
        """How many of the witnesses have to cosign.

        Raises:
            ValueError: there are too few for any number to mean something.
        """
        return quorum(len(self.witnesses), self.faults)

    def is_quorum(self, cosigned_by: Collection[str]) -> bool:
        """Whether these names, of valid cosignatures, are a quorum."""
        names = {witness.name for witness in self.witnesses}
        return is_quorum(len(names & set(cosigned_by)), len(names), self.faults)

    @classmethod
    def parse(cls, text: str) -> LedgerKeys:
        """Read a file of keys.

        Raises:
            NoteRefused: it can't be used; the message names the line.
        """
        hub: Verifier | None = None
        witnesses: dict[str, Verifier] = {}
        faults = 0
        if len(text) > LARGEST_FILE:
            raise NoteRefused(f"a file of keys has at most {LARGEST_FILE} characters")
        for number, line in enumerate(text.splitlines(), 1):
            said = line.strip()
            if not said or said.startswith("#"):
                continue
            if found := _FAULTS.fullmatch(said):
                faults = int(found[1])
                continue
            try:
                verifier = Verifier.parse(said)
            except NoteRefused as error:
                raise NoteRefused(f"line {number} of the keys: {error}") from error
            if verifier.type is SignatureType.NOTE:
                if hub is not None:
                    raise NoteRefused(f"line {number} of the keys: a second hub; a ledger has one")
                hub = verifier
            elif verifier.name in witnesses or verifier.key in {known.key for known in witnesses.values()}:
                raise NoteRefused(f"line {number} of the keys: a witness, or its key, is there twice")
            else:
                witnesses[verifier.name] = verifier
        if hub is None or faults >= max(1, len(witnesses)):
            raise NoteRefused("the keys need the hub's line and more witnesses than may be faulty")
        return cls(hub, tuple(witnesses.values()), faults)

    def __str__(self) -> str:
        faults = [f"faults {self.faults}"] if self.faults else []
        return "\n".join([str(self.hub), *(str(witness) for witness in self.witnesses), *faults]) + "\n"


def keys_at(tx: Transaction, hub: Verifier, size: int) -> LedgerKeys:
    """The keys as the ledger in this database has them at a size.

    Raises:
        NoteRefused: it has no members there.
    """
    members = store.members(tx, hub, size)
    if not len(members):
        raise NoteRefused("the ledger has no members yet, so nobody vouches for it")
    return LedgerKeys(hub, tuple(sorted(members.witnesses(), key=lambda witness: witness.name)), members.faults)
