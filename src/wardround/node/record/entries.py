"""Entries that this site puts on the ledger."""

from __future__ import annotations

import logging
from collections import Counter

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Entry
from wardround.contracts.masking import KEYS_SIGNED, SURVIVORS_SIGNED
from wardround.contracts.outbound import EntryAccepted, LedgerSubmission
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.ledger.envelope import sign_entry
from wardround.ledger.mirror import Mirror
from wardround.node.gateway.errors import HubRefused
from wardround.node.gateway.gateway import Gateway
from wardround.node.record.tables import OutgoingEntry

_log = logging.getLogger(__name__)

ABOUT_THE_ENTRY = frozenset(
    {
        "too-large",
        "not-an-entry",
        "not-canonical",
        "unknown-origin",
        "wrong-origin",
        "bad-signature",
        "reference-missing",
        "reference-kind",
        "reference-mismatch",
        "other-history",
    }
)
"""The hub's codes (`ledger.members.EntryRefused`) that mean: never this entry. Any other is about something else, a
certificate that has expired perhaps, and passes."""


class SiteEntries:
    """Signs entries with the site's key and submits them.

    Each says what the site's mirror had seen when it was signed, and the mirror holds the hub to the place that it
    gave: so others notice a hub that shows two ledgers, and the site one that drops its entries.

    Args:
        site: their origin.
        key: the site's Ed25519 ledger key.
        ledger: the ledger's origin, which each signature covers.
        mirror: the site's own copy of the ledger; without one, entries say nothing of it and nothing is held.
    """

    def __init__(
        self,
        site: str,
        key: Ed25519PrivateKey,
        ledger: str,
        gateway: Gateway,
        mirror: Mirror | None = None,
        *,
        clock: Clock = now,
    ) -> None:
        self.site = site
        self.ledger = ledger
        self._key = key
        self._gateway = gateway
        self._mirror = mirror
        self._clock = clock

    def sign(self, entry: Entry) -> bytes:
        """The signed bytes, to be kept and submitted later; submitting the same bytes twice makes one entry."""
        if self._mirror is not None and entry.seen is None:
            entry = entry.model_copy(update={"seen": self._mirror.seen()})
        return sign_entry(entry, self._key, self.ledger)

    @property
    def public_key(self) -> bytes:
        """The raw public key of this site's entries."""
        return self._key.public_key().public_bytes_raw()

    def known_keys(self) -> dict[str, bytes]:
        """By which raw public key the settled ledger knows each member's entries; none without a mirror."""
        if self._mirror is None:
            return {}
        members = self._mirror.settled_members()
        return {site: key for site in members if (key := members.key_of(site)) is not None}

    def sign_masking(self, message: bytes) -> bytes:
        """A signature over what this site says in a masked round, and over nothing that could pass for an entry.

        Raises:
            ValueError: it is something else.
        """
        if not message.startswith((KEYS_SIGNED, SURVIVORS_SIGNED)):
            raise ValueError("only what is said in a masked round is signed so")
        return self._key.sign(message)

    def submit(self, signed: bytes) -> int:
        """Put signed bytes on the ledger and return their index. Not to be called in a transaction of the node's own.

        Raises:
            HubUnreachable: try again later.
            HubRefused: the hub won't take the entry.
            LedgerForked: another entry is in that place; the mirror is stopped.
        """
        reply, _ = self._gateway.send(LedgerSubmission(entry=signed.decode()))
        assert isinstance(reply, EntryAccepted)  # noqa: S101 - the gateway returns the message's reply type
        if self._mirror is not None:
            self._mirror.promised(signed, reply.index, self._clock())
        return reply.index

    def put(self, entry: Entry) -> int:
        """Sign and submit."""
        return self.submit(self.sign(entry))

    def later(self, session: Session, entry: Entry) -> OutgoingEntry:
        """Sign the entry and keep it in the caller's transaction, for `submit_waiting`: so that what was done here
        and what is told of it can't come apart, whether the hub can be reached or not."""
        waiting = OutgoingEntry(kind=entry.kind, signed=self.sign(entry), made_at=self._clock())
        session.add(waiting)
        session.flush()
        return waiting

    @staticmethod
    def standing(session: Session) -> tuple[int, Counter[str]]:
        """How many kept entries wait for the hub, and how many it won't take, by its code."""
        waiting = select(func.count()).where(OutgoingEntry.index.is_(None), OutgoingEntry.refused.is_(None))
        refused = select(OutgoingEntry.refused).where(OutgoingEntry.refused.is_not(None))
        return session.scalar(waiting) or 0, Counter(code for code in session.scalars(refused) if code is not None)

    def submit_waiting(self, database: Database) -> int:
        """Submit, in order, what waits in the node's database; how many the hub took. A tick of the node's loop.

        An entry that the hub refuses for what it says is kept with the hub's code and holds up no other.

        Raises:
            HubUnreachable: try again later.
            HubRefused: for another reason than an entry; all that isn't submitted yet waits.
        """
        waiting = select(OutgoingEntry).where(OutgoingEntry.index.is_(None), OutgoingEntry.refused.is_(None))
        with database.reading() as session:
            rows = session.scalars(waiting.order_by(OutgoingEntry.id)).all()
        taken = 0
        for row in rows:
            index, refused = None, None
            try:
                index = self.submit(row.signed)
                taken += 1
            except HubRefused as error:
                if error.code not in ABOUT_THE_ENTRY:
                    raise
                refused = error.code
                _log.error("the hub won't take this site's entry of kind %s: %s", row.kind, error.code)
            with database.writing() as session:
                kept = session.get_one(OutgoingEntry, row.id)
                kept.index, kept.refused = index, refused
        return taken
