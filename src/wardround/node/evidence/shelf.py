"""Where evidence records are kept, and which of them are current."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.evidence import RECORD, EvidenceRecord, OfflineValidation, ShadowUse
from wardround.contracts.ledger_entry import Evidence as EvidenceEntry
from wardround.contracts.stage import EVIDENCE, EvidenceKind, StageName
from wardround.contracts.use_evidence import DelayOfUnflagged, OrderEffect, ReaderStudy, SecondReads
from wardround.contracts.validation import LocalValidation
from wardround.node import audit
from wardround.node.evidence.tables import EvidenceRow
from wardround.node.record.entries import SiteEntries
from wardround.node.record.tables import OutgoingEntry


@dataclass(frozen=True)
class Kept:
    """A record on the shelf. `entry`: its place in the ledger, None while the hub hasn't taken it."""

    record: EvidenceRecord
    digest: str
    entry: int | None
    made_at: datetime

    def fresh(self, at: datetime) -> bool:
        """Whether it is current still."""
        return at - self.made_at <= timedelta(days=EVIDENCE[self.record.kind].days)

    def of_the_model(self) -> bool:
        """Whether it is about the model as it is shared, and not about one that this hospital made of it for itself."""
        return not isinstance(self.record, OfflineValidation) or self.record.label != "personal"

    def in_words(self) -> str:
        """What it is, of which day, and where it stands in the ledger."""
        place = "waits for the ledger" if self.entry is None else f"ledger entry {self.entry}"
        return f"{self.record.kind}, {self.made_at:%Y-%m-%d}, {place}"

    def enough(self) -> bool:
        """Whether it looked at enough to show anything."""
        return seen_by(self.record) >= fewest_of(self.record)


def fewest_of(record: EvidenceRecord) -> int:
    """Below how many a record shows nothing: what its kind asks, and what its own plan asked."""
    planned = record.fewest if isinstance(record, LocalValidation) else 0
    return max(EVIDENCE[record.kind].fewest, planned)


def seen_by(record: EvidenceRecord) -> int:
    """How many patients or studies a record looked at."""
    match record:
        case OfflineValidation():
            return len(record.outcomes)
        case LocalValidation():
            return len(record.cases)
        case ShadowUse():
            return record.studies
        case OrderEffect():
            return record.studies
        case DelayOfUnflagged():
            return len(record.unflagged)
        case SecondReads():
            return len(record.reads)
        case ReaderStudy():
            return len(record.positive)


def entry_of(
    record: EvidenceRecord, stage: StageName, site: str, at: datetime, use: int | None = None
) -> EvidenceEntry:
    """What the ledger tells of a record: that it is there, of which model, and its digest."""
    pathway = record.pathway
    digest = record.content_digest()
    return EvidenceEntry(origin=site, at=at, model=record.model, pathway=pathway, stage=stage, record=digest, use=use)


def keep(session: Session, record: EvidenceRecord, *, at: datetime, actor: str, entry: int | None) -> EvidenceRow:
    """Keep a record whose entry is on the ledger; the same record twice is kept once."""
    digest = record.content_digest()
    row = session.scalar(select(EvidenceRow).where(EvidenceRow.digest == digest))
    if row is None:
        row = EvidenceRow(
            kind=record.kind,
            model=record.model,
            pathway=record.pathway,
            record=record.canonical(),
            digest=digest,
            entry=entry,
            made_at=at,
        )
        session.add(row)
        audit.record(session, actor, "keep-evidence", record.model, f"{record.kind} {digest}", clock=lambda: at)
        session.flush()
    return row


def keep_and_tell(
    session: Session, record: EvidenceRecord, stage: StageName, entries: SiteEntries, *, at: datetime, actor: str
) -> EvidenceRow:
    """Keep a record; its entry waits in this transaction for the hub."""
    row = keep(session, record, at=at, actor=actor, entry=None)
    if row.entry is None and row.outgoing is None:
        row.outgoing = entries.later(session, entry_of(record, stage, entries.site, at)).id
    return row


def latest(session: Session, kind: EvidenceKind, models: Collection[str], pathway: str | None = None) -> Kept | None:
    """The newest record of a kind about a model, which goes by several digests.

    Args:
        models: the digests of its package and of its weights.
        pathway: on which; None for whichever.
    """
    kinds = (kind, EVIDENCE[kind].also)
    query = select(EvidenceRow).where(EvidenceRow.kind.in_(kinds), EvidenceRow.model.in_(models))
    if pathway is not None:
        query = query.where(EvidenceRow.pathway == pathway)
    newest_first = session.scalars(query.order_by(EvidenceRow.made_at.desc(), EvidenceRow.id.desc()))
    return next((kept for kept in (_kept(session, row) for row in newest_first) if kept.of_the_model()), None)


def latest_shadow(session: Session, model: str, pathway: str) -> ShadowUse | None:
    """The newest record of a model's shadow use on a pathway, by its package's digest."""
    kept = latest(session, "shadow-use", (model,), pathway)
    return kept.record if kept is not None and isinstance(kept.record, ShadowUse) else None


def records(session: Session, models: Collection[str]) -> Sequence[Kept]:
    """All that is kept about a model, oldest first."""
    query = select(EvidenceRow).where(EvidenceRow.model.in_(models)).order_by(EvidenceRow.id)
    return [_kept(session, row) for row in session.scalars(query)]


def _kept(session: Session, row: EvidenceRow) -> Kept:
    entry = row.entry
    if entry is None and row.outgoing is not None:
        entry = session.get_one(OutgoingEntry, row.outgoing).index
    return Kept(RECORD.validate_json(row.record), row.digest, entry, row.made_at)
