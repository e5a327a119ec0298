"""Each use of a frozen cohort is on the ledger before the first of its studies is read for it."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import delete, select

from wardround.contracts.ledger_entry import Use
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.gateway.errors import HubRefused
from wardround.node.record.entries import SiteEntries
from wardround.node.training.tables import DataUse

_log = logging.getLogger(__name__)


class Uses:
    """Records uses. Each is recorded once, whatever is done again after a crash, and costs one request to the hub.

    The entry is signed and kept with its row in the audit, then sent, and its place kept: cut off anywhere, the next
    call sends the same bytes, which the hub takes once. Whoever calls reads nothing before the call has returned.

    Raises, from each: `HubUnreachable` where it has to wait, `HubRefused` where the hub won't take the entry,
    `LedgerForked` where the hub has another entry in the place that it named. Nothing may be read then.
    """

    def __init__(self, database: Database, entries: SiteEntries, clock: Clock) -> None:
        self._database = database
        self._entries = entries
        self._clock = clock

    def training(self, run: str, round_number: int, manifest: int) -> int:
        """To train in one round; the place of its entry, which the update names."""
        return self._place(run, "training", manifest, round=round_number)

    def preparation(self, run: str, manifest: int) -> int:
        """To hold the cohort ready for a run before its first round."""
        return self._place(run, "preparation", manifest)

    def judging(self, run: str, model: str, manifest: int) -> int:
        """To judge the model of that digest; the place of its entry, which the evidence names."""
        return self._place(run, "judging", manifest, model=model)

    def _place(self, run: str, purpose: str, manifest: int, **said: Any) -> int:
        row = self._signed(run, purpose, manifest, said)
        if row.entry is not None:
            return row.entry
        try:
            place = self._entries.submit(row.signed)
        except HubRefused as error:
            _log.error("the hub won't take the %s of run %s on the ledger: %s", purpose, run, error.code)
            with self._database.writing() as session:
                # What was refused is on no ledger; the next try is signed anew, with what this site has seen by then.
                session.execute(delete(DataUse).where(DataUse.id == row.id, DataUse.entry.is_(None)))
            raise
        with self._database.writing() as session:
            session.get_one(DataUse, row.id).entry = place
        return place

    def _signed(self, run: str, purpose: str, manifest: int, said: dict[str, Any]) -> DataUse:
        key = {"round": 0, "model": ""} | said
        query = select(DataUse).filter_by(run=run, purpose=purpose, manifest=manifest, **key)
        with self._database.reading() as session:
            known = session.scalar(query)
        if known is not None:
            return known
        with self._database.writing() as session:
            row = session.scalar(query)
            if row is None:
                at = self._clock()
                about: dict[str, Any] = {"run": run, "purpose": purpose, "manifest": manifest, **said}
                signed = self._entries.sign(Use(origin=self._entries.site, at=at, **about))
                row = DataUse(run=run, purpose=purpose, manifest=manifest, signed=signed, begun_at=at, **key)
                session.add(row)
                audit.record(session, "program", "begin-use", run, f"{purpose} of manifest {manifest}")
        return row
