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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from wardround.dicom.statement import Deidentified
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound, WardroundError
from wardround.foundation.files import write_whole
from wardround.foundation.sealing import KEY_BYTES, NONCE_BYTES, NotOpened, Sealer
from wardround.node import audit
from wardround.node.deidentify.vault_tables import VaultEntry, VaultKey
from wardround.node.enclave.tables import EnclavePatient
from wardround.node.optout.identifier import PatientIds

_Fact = dict[str, Any]
_Name = tuple[str, str, str]
"""Kind, name and pseudonym: what a sealed fact is about."""
_VAULT, _PSEUDONYMS = 1, 2
"""The rows of `vault_key`: which secret each answers for."""


class VaultLocked(WardroundError):
    """The vault's key is missing, damaged, or another vault's."""

    code = "vault-locked"


@dataclass(frozen=True, slots=True)
class Revealed:
    """Who is behind a pseudonym; `repr` shows nothing of it.

    `other_ids` are the further ids that objects gave, each with its issuer. `studies`, `series` and `instances` map
    each new UID to the original; `accession_numbers` maps a new Study Instance UID to the accession number.
    """

    pseudonym: str
    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    other_ids: tuple[tuple[str, str], ...] = field(repr=False)
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
        self._sealer = Sealer(self._key(key_path))

    def bind(self, secret: bytes) -> None:
        """Tie the vault to the site's pseudonym secret, the first time; check it from then on.

        Raises:
            VaultLocked: the vault's pseudonyms were made with another secret.
        """
        with self._database.writing() as session:
            known = session.get(VaultKey, _PSEUDONYMS)
            if known is None:
                session.add(VaultKey(id=_PSEUDONYMS, check=_check(secret)))
            elif not hmac.compare_digest(known.check, _check(secret)):
                raise VaultLocked(
                    "identity/pseudonyms.key isn't the secret that this site's pseudonyms were made with; restore that "
                    "file from a backup"
                )

    def remember(self, objects: Iterable[Deidentified], patients: Iterable[PatientIds] = ()) -> None:
        """Seal who the objects were, durably. What was known stays, unless the objects say otherwise now: the
        newest name, birth date and accession number that isn't empty is kept, and every id.

        Args:
            patients: of each object whom it names, where more is known than `Deidentified.identity` has.
        """
        facts: dict[_Name, _Fact] = {}
        instances: dict[_Name, _Fact] = {}
        named = iter(patients)
        for one in objects:
            who = one.identity
            others = [list(pair) for pair in next(named, PatientIds(())).ids[1:]]
            for kind, name, fact in (
                (
                    "patient",
                    one.pseudonym,
                    {
                        "id": who.patient_id,
                        "issuer": who.issuer,
                        "name": who.name,
                        "birth_date": who.birth_date,
                        "others": others,
                    },
                ),
                ("study", one.study_uid, {"uid": who.study_uid, "accession_number": who.accession_number}),
                ("series", one.series_uid, {"uid": who.series_uid}),
            ):
                key = (kind, name, one.pseudonym)
                facts[key] = _newer(facts.get(key, {}), fact)
            instances["instance", one.sop_uid, one.pseudonym] = {"uid": who.sop_uid}
        self._keep(facts, instances)

    def know(self, patients: Mapping[str, PatientIds]) -> None:
        """Seal who the people behind these pseudonyms are, durably, of whom there may be records and no images."""
        facts: dict[_Name, _Fact] = {}
        for pseudonym, ids in patients.items():
            (first, issuer), *others = ids.ids
            fact = {"id": first, "issuer": issuer, "name": "", "birth_date": "", "others": [list(o) for o in others]}
            facts["patient", pseudonym, pseudonym] = fact
        self._keep(facts, {})

    def _keep(self, facts: dict[_Name, _Fact], instances: Mapping[_Name, _Fact]) -> None:
        if not facts:
            return
        with self._database.writing() as session:
            known = session.scalars(select(VaultEntry).where(VaultEntry.name.in_({name for _, name, _ in facts})))
            for entry in known:
                fact = facts.pop((entry.kind, entry.name, entry.pseudonym), {})
                before = self._open(entry)
                if (after := _newer(before, fact)) != before:
                    entry.nonce, entry.sealed = self._seal((entry.kind, entry.name, entry.pseudonym), after)
            # A new UID is made of the old one: what is known of an instance is the same for ever.
            rows = [self._row(key, fact) for key, fact in (facts | dict(instances)).items()]
            if rows:
                session.execute(insert(VaultEntry).on_conflict_do_nothing(), rows)

    def pseudonyms(self) -> frozenset[str]:
        """Every pseudonym that the vault knows. Nothing is opened for it."""
        with self._database.reading() as session:
            return frozenset(session.scalars(select(VaultEntry.name).where(VaultEntry.kind == "patient")))

    def owners(self, names: Collection[str]) -> frozenset[str]:
        """The pseudonyms to which these (new) UIDs belong. Nothing is opened for it."""
        with self._database.reading() as session:
            return frozenset(session.scalars(select(VaultEntry.pseudonym).where(VaultEntry.name.in_(names))))

    def names(self) -> frozenset[str]:
        """Every name that the vault knows: pseudonyms and (new) UIDs. Nothing is opened for it."""
        with self._database.reading() as session:
            return frozenset(session.scalars(select(VaultEntry.name)))

    def counted(self, pseudonym: str) -> int:
        """How many sealed facts there are of a pseudonym. Nothing is opened for it."""
        with self._database.reading() as session:
            return session.scalar(select(func.count()).where(VaultEntry.pseudonym == pseudonym)) or 0

    def patients(self, *, actor: str, reason: str) -> Iterator[tuple[str, PatientIds]]:
        """Open the vault for the ids of every patient, to match them with a list; one row in the audit, before.

        Raises:
            ValueError: no reason is given.
            VaultLocked: a row was changed, or moved from another.
        """
        self._say(actor, "every patient's ids", reason)
        with self._database.reading() as session:
            for entry in session.scalars(select(VaultEntry).where(VaultEntry.kind == "patient")):
                fact = self._open(entry)
                ids = [(fact["id"], fact["issuer"]), *((first, second) for first, second in fact.get("others", []))]
                yield entry.pseudonym, PatientIds(tuple(ids))

    def forget(self, pseudonym: str) -> int:
        """Remove everything about a pseudonym, from the write-ahead log too; returns how many facts went."""
        with self._database.writing() as session:
            gone = list(
                session.scalars(delete(VaultEntry).where(VaultEntry.pseudonym == pseudonym).returning(VaultEntry.kind))
            )
        with self._database.engine.connect() as connection:
            connection.rollback()
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(gone)

    def seal(self, purpose: str, text: str) -> bytes:
        """`text` sealed under the vault's key, for `purpose` alone."""
        return self._sealer.seal(text.encode(), f"wardround {purpose} v1".encode())

    def unseal(self, purpose: str, sealed: bytes) -> str:
        """The text that was sealed for `purpose`.

        Raises:
            VaultLocked: it was changed, or sealed for something else.
        """
        try:
            text = self._sealer.open(sealed, f"wardround {purpose} v1".encode())
        except NotOpened:
            raise VaultLocked("what was sealed under the vault's key was changed; restore it from a backup") from None
        return text.decode()

    def reveal(
        self, pseudonym: str, *, actor: str, reason: str, record: Callable[[Session], None] = lambda _: None
    ) -> Revealed:
        """Open the vault for one pseudonym. The audit has its row before anything is opened.

        Args:
            actor: as in `wardround.node.audit.record`.
            reason: why, in the person's own words; kept in the audit.
            record: what is to be written in the audit's own transaction too.

        Raises:
            ValueError: no reason is given.
            NotFound: the vault knows no such pseudonym; the attempt is in the audit all the same.
            VaultLocked: a row was changed, or moved from another.
        """
        self._say(actor, pseudonym, reason, record)
        opened: dict[str, dict[str, _Fact]] = {"patient": {}, "study": {}, "series": {}, "instance": {}}
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
            other_ids=tuple((first, second) for first, second in patient.get("others", [])),
            name=patient["name"],
            birth_date=patient["birth_date"],
            accession_numbers={new: study["accession_number"] for new, study in opened["study"].items()},
            studies={new: study["uid"] for new, study in opened["study"].items()},
            series={new: series["uid"] for new, series in opened["series"].items()},
            instances={new: instance["uid"] for new, instance in opened["instance"].items()},
        )

    def close(self) -> None:
        self._database.close()

    def _say(self, actor: str, subject: str, reason: str, record: Callable[[Session], None] = lambda _: None) -> None:
        if not reason.strip():
            raise ValueError("say why the vault is to be opened; the reason goes into the audit")
        with self._audit.writing() as session:
            audit.record(session, actor, "open-vault", subject, reason.strip(), clock=self._clock)
            record(session)

    def _row(self, key: _Name, fact: _Fact) -> dict[str, object]:
        nonce, sealed = self._seal(key, fact)
        return {"kind": key[0], "name": key[1], "pseudonym": key[2], "nonce": nonce, "sealed": sealed}

    def _seal(self, key: _Name, fact: _Fact) -> tuple[bytes, bytes]:
        sealed = self._sealer.seal(json.dumps(fact).encode(), _bound(key))
        return sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]

    def _open(self, entry: VaultEntry) -> _Fact:
        bound = _bound((entry.kind, entry.name, entry.pseudonym))
        try:
            fact: _Fact = json.loads(self._sealer.open(entry.nonce + entry.sealed, bound))
        except NotOpened:
            raise VaultLocked("a row of the vault was changed; restore the vault from a backup") from None
        return fact

    def _key(self, key_path: Path) -> bytes:
        with self._database.writing() as session:
            known = session.get(VaultKey, _VAULT)
            if known is None:
                self._check_new()
                if not key_path.exists():
                    write_whole(key_path, secrets.token_bytes(KEY_BYTES), mode=0o600)
                key = _read_key(key_path)
                session.add(VaultKey(id=_VAULT, check=_check(key)))
                return key
        key = _read_key(key_path)
        if not hmac.compare_digest(known.check, _check(key)):
            raise VaultLocked("the key file is not this vault's; put the vault's own key back")
        return key

    def _check_new(self) -> None:
        """An empty vault beside an enclave with patients is one that was lost."""
        with self._audit.reading() as session:
            if session.scalar(select(EnclavePatient.pseudonym).limit(1)) is not None:
                raise VaultLocked(
                    "the enclave has patients, but the vault that knows them is gone; restore vault/vault.db and "
                    "identity/vault.key from the same backup"
                )


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


def _bound(key: _Name) -> bytes:
    """What a sealed fact is tied to."""
    return json.dumps(key).encode()


def _newer(before: _Fact, after: _Fact) -> _Fact:
    """What is known now: a value that was left empty doesn't undo what was said before, and ids are added."""
    known = before | {field: value for field, value in after.items() if value or field not in before}
    if "others" in known:
        merged = [*before.get("others", []), *after.get("others", [])]
        known["others"] = [pair for number, pair in enumerate(merged) if pair not in merged[:number]]
    return known
