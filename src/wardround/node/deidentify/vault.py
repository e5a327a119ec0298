"""The vault: which person is behind a pseudonym, sealed, apart from the enclave, opened only on the record.

Each fact is sealed by AES-256-GCM (NIST SP 800-38D) under one key per site, with a random 96-bit nonce of its own;
kind, name and pseudonym are associated data, so that a row moved or relabelled doesn't open. The key lies in a file
that its owner alone reads, in another directory than the vault's database.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.dicom.statement import Deidentified
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound, WardroundError
from wardround.foundation.files import write_whole
from wardround.node.audit import record
from wardround.node.deidentify.vault_tables import VaultEntry, VaultKey

KEY_BYTES = 32
NONCE_BYTES = 12


class VaultLocked(WardroundError):
    """The vault's key is missing, damaged, or another vault's."""

    code = "vault-locked"


@dataclass(frozen=True, slots=True)
class Revealed:
    """Who is behind a pseudonym; `repr` shows nothing of it.

    `studies`, `series` and `instances` map each new UID to the original; `accession_numbers` maps a new Study
    Instance UID to the accession number.
    """

    pseudonym: str
    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    name: str = field(repr=False)
    birth_date: str = field(repr=False)
    accession_numbers: Mapping[str, str] = field(repr=False)
    studies: Mapping[str, str] = field(repr=False)
    series: Mapping[str, str] = field(repr=False)
    instances: Mapping[str, str] = field(repr=False)


class Vault:
    """One site's vault.

    Args:
        path: its SQLite file; made on first use, readable by its owner alone.
        key_path: its key; made on first use together with the vault, never for a vault that is there already.
        audit: the node's database, where each opening leaves its row.

    Raises:
        VaultLocked: there is a vault, but this isn't its key.
    """

    def __init__(self, path: Path, key_path: Path, *, audit: Database, clock: Clock = now) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        self._database = Database(f"sqlite:///{path}", migrations="wardround.node.deidentify.vault_migrations")
        self._database.upgrade()
        self._audit = audit
        self._clock = clock
        self._cipher = AESGCM(self._key(key_path))

    def remember(self, objects: Iterable[Deidentified]) -> None:
        """Seal who the objects were, durably. What was known stays, unless the objects say otherwise now: the
        newest name, birth date and accession number that isn't empty is kept."""
        with self._database.writing() as session:
            for one in objects:
                who = one.identity
                patient = {
                    "id": who.patient_id,
                    "issuer": who.issuer,
                    "name": who.name,
                    "birth_date": who.birth_date,
                }
                study = {"uid": who.study_uid, "accession_number": who.accession_number}
                self._seal(session, "patient", one.pseudonym, one.pseudonym, patient)
                self._seal(session, "study", one.study_uid, one.pseudonym, study)
                self._seal(session, "series", one.series_uid, one.pseudonym, {"uid": who.series_uid})
                self._seal(session, "instance", one.sop_uid, one.pseudonym, {"uid": who.sop_uid})

    def reveal(self, pseudonym: str, *, actor: str, reason: str) -> Revealed:
        """Open the vault for one pseudonym. The audit has its row before anything is opened.

        Args:
            actor: as in `wardround.node.audit.record`.
            reason: why, in the person's own words; kept in the audit.

        Raises:
            ValueError: no reason is given.
            NotFound: the vault knows no such pseudonym; the attempt is in the audit all the same.
            VaultLocked: a row was changed, or moved from another.
        """
        if not reason.strip():
            raise ValueError("say why the vault is to be opened; the reason goes into the audit")
        with self._audit.writing() as session:
            record(session, actor, "open-vault", pseudonym, reason.strip(), clock=self._clock)
        opened: dict[str, dict[str, dict[str, str]]] = {"patient": {}, "study": {}, "series": {}, "instance": {}}
        with self._database.reading() as session:
            for entry in session.scalars(select(VaultEntry).where(VaultEntry.pseudonym == pseudonym)):
                opened[entry.kind][entry.name] = self._open(entry)
        if pseudonym not in opened["patient"]:
            raise NotFound("the vault knows no such pseudonym")
        patient = opened["patient"][pseudonym]
        return Revealed(
            pseudonym=pseudonym,
            patient_id=patient["id"],
            issuer=patient["issuer"],
            name=patient["name"],
            birth_date=patient["birth_date"],
            accession_numbers={new: study["accession_number"] for new, study in opened["study"].items()},
            studies={new: study["uid"] for new, study in opened["study"].items()},
            series={new: series["uid"] for new, series in opened["series"].items()},
            instances={new: instance["uid"] for new, instance in opened["instance"].items()},
        )

    def close(self) -> None:
        self._database.close()

    def _seal(self, session: Session, kind: str, name: str, pseudonym: str, fact: dict[str, str]) -> None:
        entry = session.get(VaultEntry, (kind, name, pseudonym))
        if entry is None:
            entry = VaultEntry(kind=kind, name=name, pseudonym=pseudonym)
            session.add(entry)
        else:
            known = self._open(entry)
            fact = known | {key: value for key, value in fact.items() if value}
            if fact == known:
                return
        entry.nonce = secrets.token_bytes(NONCE_BYTES)
        entry.sealed = self._cipher.encrypt(entry.nonce, json.dumps(fact).encode(), _bound(entry))

    def _open(self, entry: VaultEntry) -> dict[str, str]:
        try:
            fact: dict[str, str] = json.loads(self._cipher.decrypt(entry.nonce, entry.sealed, _bound(entry)))
        except InvalidTag:
            raise VaultLocked("a row of the vault was changed; restore the vault from a backup") from None
        return fact

    def _key(self, key_path: Path) -> bytes:
        with self._database.writing() as session:
            known = session.get(VaultKey, 1)
            if known is None:
                if not key_path.exists():
                    write_whole(key_path, secrets.token_bytes(KEY_BYTES), mode=0o600)
                key = _read_key(key_path)
                session.add(VaultKey(id=1, check=_check(key)))
                return key
        key = _read_key(key_path)
        if not hmac.compare_digest(known.check, _check(key)):
            raise VaultLocked("the key file is not this vault's; put the vault's own key back")
        return key


def _read_key(key_path: Path) -> bytes:
    try:
        key = key_path.read_bytes()
    except OSError as error:
        raise VaultLocked(f"the vault's key can't be read: {type(error).__name__}; put it back") from None
    if len(key) != KEY_BYTES:
        raise VaultLocked(f"the vault's key has {len(key)} bytes, not {KEY_BYTES}; put the vault's own key back")
    if key_path.stat().st_mode & 0o077:
        raise VaultLocked("others can read the vault's key; set its mode to 0600 and consider it known")
    return key


def _check(key: bytes) -> bytes:
    return hmac.digest(key, b"wardround vault key check v1", "sha256")


def _bound(entry: VaultEntry) -> bytes:
    """What a sealed fact is tied to."""
    return json.dumps([entry.kind, entry.name, entry.pseudonym]).encode()
