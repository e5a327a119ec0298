"""What was destroyed here is told to the ledger, in the transaction that destroys it: never what, of whom, or how much
exactly, but which frozen cohorts it was taken out of."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Purge, read_signed_entry
from wardround.ledger import store
from wardround.node.cohort.disclosure import Discloser
from wardround.node.projects.tables import Decision, ManifestRow
from wardround.node.record.entries import SiteEntries

MEANWHILE = "purged-meanwhile"
"""The reason where a manifest came to the ledger only after studies of it were destroyed."""


@dataclass(frozen=True)
class Purges:
    """Tells of purges. The entry waits with the rows for the hub, which needn't answer now."""

    entries: SiteEntries
    discloser: Discloser

    def tell(
        self, session: Session, *, reason: str, people: Iterable[str], decisions: Collection[int], at: datetime
    ) -> None:
        """Keep the entry of a purge for the ledger, in the caller's transaction.

        Args:
            reason: a code, which the ledger shows to all.
            people: the site's own pseudonyms of those whose studies went; their number is told as any is.
            decisions: those whose frozen cohorts the studies were in. Of a cohort that isn't on the ledger yet,
                `tell_late` does when it is.
        """
        found = session.scalars(select(Decision).where(Decision.id.in_(sorted(decisions)))).all()
        places = {place for decision in found if (place := _place(session, decision)) is not None}
        entry = Purge(
            origin=self.entries.site,
            at=at,
            reason=reason,
            people=self.discloser.people(people),
            manifests=tuple(sorted(places)),
        )
        self.entries.later(session, entry)


def tell_late(session: Session, entries: SiteEntries, decision: Decision, at: datetime) -> None:
    """Once the manifest of a decision has its place: tell of studies that went since it was signed."""
    if decision.manifest is None or decision.manifest_index is None:
        return
    signed_at = read_signed_entry(decision.manifest).entry.at
    gone = select(ManifestRow.id).where(ManifestRow.decision == decision.id, ManifestRow.removed_at >= signed_at)
    if session.scalar(gone.limit(1)) is not None:
        entry = Purge(
            origin=entries.site,
            at=at,
            reason=MEANWHILE,
            people=Count(about=None),
            manifests=(decision.manifest_index,),
        )
        entries.later(session, entry)


def _place(session: Session, decision: Decision) -> int | None:
    """Where the manifest is: as this site's own copy has it or, before it is here, as the hub said."""
    if decision.manifest is None:
        return None
    here = store.index_of(session, decision.manifest)
    return decision.manifest_index if here is None else here
