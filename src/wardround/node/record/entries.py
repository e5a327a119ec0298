"""Entries that this site puts on the ledger."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.contracts.ledger_entry import Entry
from wardround.contracts.outbound import EntryAccepted, LedgerSubmission
from wardround.foundation.clock import Clock, now
from wardround.ledger.envelope import sign_entry
from wardround.ledger.mirror import Mirror
from wardround.node.gateway.gateway import Gateway


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
        self._key = key
        self._ledger = ledger
        self._gateway = gateway
        self._mirror = mirror
        self._clock = clock

    def sign(self, entry: Entry) -> bytes:
        """The signed bytes, to be kept and submitted later; submitting the same bytes twice makes one entry."""
        if self._mirror is not None and entry.seen is None:
            entry = entry.model_copy(update={"seen": self._mirror.seen()})
        return sign_entry(entry, self._key, self._ledger)

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
