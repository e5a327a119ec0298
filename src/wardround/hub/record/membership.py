"""Announcing sites on the ledger, so that everyone can check who signed what."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime

from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Founding, Member
from wardround.ledger import store
from wardround.ledger.log import Log
from wardround.ledger.note import SignatureType, Verifier


def found_ledger(session: Session, log: Log, *, faults: int, at: datetime) -> None:
    """Found the federation's ledger: of its witnesses, `faults` may cosign two trees without harm. Its first entry.

    Raises:
        EntryRefused: the ledger has entries already.
    """
    log.record(session, Founding(origin="hub", at=at, faults=faults))


def announce(session: Session, log: Log, site: str, ledger_verifier: str, *, at: datetime) -> None:
    """Put a `member` entry with the site's keys on the ledger, unless it says the same already.

    `ledger_verifier` is the vkey of the site's entries; its cosignatures are by the same key under another type.
    """
    entry_key = Verifier.parse(ledger_verifier).key
    witness = Verifier(site, SignatureType.COSIGNATURE, entry_key)
    known = store.members(session, log.verifier, store.lock(session)).witness(site)
    if known == witness:
        return
    log.record(
        session,
        Member(origin="hub", at=at, site=site, entry_key=b64encode(entry_key).decode(), witness=str(witness)),
    )
