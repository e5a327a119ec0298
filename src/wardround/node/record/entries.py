"""Entries that this site puts on the ledger."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.contracts.ledger_entry import Entry
from wardround.contracts.outbound import EntryAccepted, LedgerSubmission
from wardround.ledger.envelope import sign_entry
from wardround.node.gateway.gateway import Gateway


class SiteEntries:
    """Signs entries with the site's key and submits them.

    Args:
        site: their origin.
        key: the site's Ed25519 ledger key.
        ledger: the ledger's origin, which each signature covers.
    """

    def __init__(self, site: str, key: Ed25519PrivateKey, ledger: str, gateway: Gateway) -> None:
        self.site = site
        self._key = key
        self._ledger = ledger
        self._gateway = gateway

    def sign(self, entry: Entry) -> bytes:
        """The signed bytes, to be kept and submitted later; submitting the same bytes twice makes one entry."""
        return sign_entry(entry, self._key, self._ledger)

    def submit(self, signed: bytes) -> int:
        """Put signed bytes on the ledger and return their index.

        Raises:
            HubUnreachable: try again later.
            HubRefused: the hub won't take the entry.
        """
        reply, _ = self._gateway.send(LedgerSubmission(entry=signed.decode()))
        assert isinstance(reply, EntryAccepted)  # noqa: S101 - the gateway returns the message's reply type
        return reply.index

    def put(self, entry: Entry) -> int:
        """Sign and submit."""
        return self.submit(self.sign(entry))
