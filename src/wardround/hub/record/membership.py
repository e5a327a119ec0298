"""Founding the ledger, and who belongs to it from when to when, so that everyone can check who signed what."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.ledger_entry import Departure, Founding, Member
from wardround.foundation.errors import Conflict
from wardround.hub.sites.tables import Site
from wardround.ledger import store
from wardround.ledger.log import Log
from wardround.ledger.note import SignatureType, Verifier


def found_ledger(session: Session, log: Log, *, faults: int, at: datetime) -> None:
    """Found the federation's ledger: of its witnesses, `faults` may cosign two trees without harm. Its first entry.

    Raises:
        EntryRefused: the ledger has entries already.
    """
    log.record(session, Founding(origin="hub", at=at, faults=faults))


@dataclass(frozen=True)
class Parted:
    """What a departure means for the quorum.

    Attributes:
        left: members from there on; ``due`` of them have to cosign what follows.
        due_before: of the members before, this many have to cosign the departure itself; the one who leaves can't.
    """

    left: int
    due: int
    due_before: int

    @property
    def stands_still(self) -> bool:
        """Whether too few are left ever to cosign the departure."""
        return self.left < max(self.due_before, self.due)


def found_once(session: Session, log: Log, *, faults: int, at: datetime) -> None:
    """Found the ledger unless it was; see :func:`found_ledger`.

    Raises:
        Conflict: it was founded with another number of faults, or before there was one to be named.
    """
    size = store.lock(session)
    if size == 0:
        found_ledger(session, log, faults=faults, at=at)
        return
    founded = store.members(session, log.verifier, size).faults
    if founded != faults:
        raise Conflict(
            f"hub.toml says faults = {faults}, and the federation was founded with {founded}, which nothing changes; "
            f"set faults = {founded}, or found another federation",
            code="other-faults",
        )


def part(session: Session, log: Log, site: str, *, reason: Literal["left", "revoked"], at: datetime) -> Parted | None:
    """Put on the ledger that the site is out of it from here on; None if it isn't in it."""
    size = store.lock(session)
    if store.members(session, log.verifier, size).witness(site) is None:
        return None
    before = store.members(session, log.verifier, log.settled(session) or size)
    log.record(session, Departure(origin="hub", at=at, site=site, reason=reason))
    after = store.members(session, log.verifier, size + 1)
    return Parted(left=len(after), due=after.fewest, due_before=before.fewest)


def part_revoked(session: Session, log: Log, at: datetime) -> None:
    """Put on the ledger what is missing there: departures of sites that were revoked before those were recorded."""
    for name in session.scalars(select(Site.name).where(Site.state == "revoked").order_by(Site.name)):
        part(session, log, name, reason="revoked", at=at)


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
