"""From a pseudonym back to the site's own: what a result may name instead of a patient.

A project is served pseudonyms of its own (`PseudonymKeys.for_project`), which are kept nowhere: they are made anew of
all that the vault knows and compared. The vault isn't opened for that; it is, on the record, by `Vault.reveal`.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Reidentification
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.errors import NotFound
from wardround.node.deidentify.tables import Reidentification as Look
from wardround.node.deidentify.vault import Revealed, Vault
from wardround.node.record.entries import SiteEntries

NOT_TOLD = "not-told"
"""The code of a look whose reason nobody gave a code to."""

_LABEL = b"wardround/re-identification/v1\n"
_OF_PROJECT = "WP-"
_UID = "2.25."


def site_pseudonym(vault: Vault, keys: PseudonymKeys, name: str, projects: Iterable[str]) -> str:
    """The site's pseudonym of whom `name` stands for: a pseudonym of the site or of a project, or the (new) UID of a
    study, series or instance, of the site or of a project.

    Args:
        projects: whose pseudonyms it may be.

    Raises:
        NotFound: it is nobody's here.
    """
    name = name.strip()
    if name in vault.pseudonyms():
        return name
    owners = vault.owners([name])
    if not owners and name.startswith((_OF_PROJECT, _UID)):
        known = vault.pseudonyms() if name.startswith(_OF_PROJECT) else vault.names()
        for project in projects:
            served = keys.for_project(project)
            make = served.patient if name.startswith(_OF_PROJECT) else served.uid
            found = [each for each in known if make(each) == name]
            if found:
                owners = vault.owners(found)
                break
    if len(owners) != 1:
        raise NotFound(
            "the vault knows nobody by that name; give a pseudonym or UID as this site or one of its projects wrote it"
        )
    [owner] = owners
    return owner


def reidentify(
    vault: Vault, entries: SiteEntries, pseudonym: str, *, actor: str, reason: str, code: str = NOT_TOLD, at: datetime
) -> Revealed:
    """Open the vault for one of the site's pseudonyms. The audit has that before, and in the same transaction the
    ledger's entry waits for the hub: that somebody was looked up, why by its code, and a salted digest of who looked
    up whom, which the site can open and nobody else can.

    Args:
        reason: why, in the person's own words; it stays here.
        code: why, as the ledger shows it to all.

    Raises:
        ValueError, NotFound, VaultLocked: see `Vault.reveal`.
    """

    def on_record(session: Session) -> None:
        salt = secrets.token_bytes(32)
        digest = look_digest(salt, pseudonym, actor, reason.strip(), at)
        session.add(Look(pseudonym=pseudonym, actor=actor, reason=reason.strip(), at=at, salt=salt, record=digest))
        entry = Reidentification(origin=entries.site, at=at, reason=code, people=Count(about=None), record=digest)
        entries.later(session, entry)

    return vault.reveal(pseudonym, actor=actor, reason=reason, record=on_record)


def look_digest(salt: bytes, pseudonym: str, actor: str, reason: str, at: datetime) -> str:
    """What the ledger has of a look: HMAC-SHA-256 (RFC 2104) with the salt as key over who looked up whom, when and
    why, as sorted JSON after a fixed label; in hexadecimal."""
    told = {"actor": actor, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "pseudonym": pseudonym, "reason": reason}
    return hmac.digest(salt, _LABEL + json.dumps(told, sort_keys=True).encode(), "sha256").hex()


def forget_looks(session: Session, pseudonym: str) -> None:
    """Destroy the salts of looks behind a pseudonym: what the ledger has of them says nothing from then on."""
    gone = update(Look).where(Look.pseudonym == pseudonym).values(pseudonym="", reason="", salt=b"")
    session.execute(gone.execution_options(synchronize_session=False))
