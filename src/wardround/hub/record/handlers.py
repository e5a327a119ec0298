"""What the hub answers to sites about the ledger."""

from __future__ import annotations

from wardround.contracts.ledger_entry import LARGEST_ENTRY
from wardround.contracts.outbound import (
    Acknowledged,
    EntryAccepted,
    LedgerSubmission,
    MirrorBatch,
    MirrorRequest,
    WitnessCosignature,
)
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.hub.api.exchange import Caller, Exchange
from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.log import Log
from wardround.ledger.members import EntryRefused

ENTRIES_AT_ONCE = 2000
BYTES_AT_ONCE = 2 * 1024 * 1024
"""So that a batch stays within the header of one answer, even where every byte has to be escaped in JSON."""


class LedgerDesk:
    """Takes sites' entries and cosignatures, and serves the ledger for mirrors."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def register(self, exchange: Exchange) -> None:
        exchange.register(LedgerSubmission)(self._take_entry)
        exchange.register(MirrorRequest)(self._serve)
        exchange.register(WitnessCosignature)(self._take_cosignature)

    def _take_entry(self, caller: Caller, message: LedgerSubmission, _attachment: bytes) -> EntryAccepted:
        data = message.entry.encode()
        if len(data) > LARGEST_ENTRY:
            raise EntryRefused(f"an entry has at most {LARGEST_ENTRY} bytes", code="too-large")
        offer = self._log.offer([data])
        if offer.rows[0].signed.entry.origin != caller.site:
            raise NotAllowed("a site submits entries of its own only", code="wrong-origin")
        with caller.database.writing() as session:
            return EntryAccepted(index=self._log.take(session, offer)[0])

    def _serve(self, caller: Caller, message: MirrorRequest, _attachment: bytes) -> MirrorBatch:
        with caller.database.reading() as session:
            note = self._log.published(session)
            if note is None:
                raise NotFound("the ledger has no checkpoint yet; ask again", code="no-checkpoint")
            size = open_checkpoint(note, self._log.verifier).size
            limit = max(0, min(ENTRIES_AT_ONCE, size - message.start))
            entries = self._log.entries(session, message.start, limit, BYTES_AT_ONCE) if limit else []
            signed, yours = self._log.newest_cosigned_by(session, caller.site) or (0, None)
        return MirrorBatch(
            start=message.start,
            entries=tuple(entry.decode() for entry in entries),
            checkpoint=note,
            yours=yours if signed > message.start else None,
        )

    def _take_cosignature(self, caller: Caller, message: WitnessCosignature, _attachment: bytes) -> Acknowledged:
        with caller.database.writing() as session:
            witness = self._log.add_cosignature(session, message.size, message.line)
            if witness != caller.site:
                raise NotAllowed("a site cosigns for itself only", code="wrong-origin")
        return Acknowledged()
