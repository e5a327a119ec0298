"""What people do with the register: each action names its actor and leaves its row in the audit, without a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed
from wardround.node import audit
from wardround.node.deidentify.vault import Vault
from wardround.node.enclave.tables import EnclavePatient
from wardround.node.optout.identifier import HASHED, Kind, PatientIds, Scheme
from wardround.node.optout.listing import Entry
from wardround.node.optout.queries import excluded_count
from wardround.node.optout.register import Register
from wardround.node.optout.tables import OptOut, OptOutScheme, PatientKey

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Changed:
    """What an action did: entries given, those that changed the register, and patients in the enclave who are left out
    before and after."""

    given: int
    changed: int
    left_out_before: int
    left_out: int


def add(
    database: Database,
    register: Register,
    vault: Vault,
    entries: Sequence[Entry],
    *,
    scheme: Scheme | None = None,
    actor: str,
    at: datetime,
) -> Changed:
    """Put entries on the register. They count from the moment that this returns.

    Entries of somebody's hashed list are matched with patients who are in already by opening the vault for every
    patient's ids, once a scheme; that is in the audit as an opening.

    Args:
        scheme: how the hashed entries were made.

    Raises:
        NotAllowed: there are hashed entries of another kind than `scheme`, or none was given.
    """
    number = None if scheme is None else _scheme(database, register, vault, scheme, actor=actor, at=at)
    rows: dict[str, dict[str, object]] = {}
    for each in entries:
        hashed = each.kind in HASHED
        key = _key(register, each, scheme)
        rows[key] = {
            "key": key,
            "kind": each.kind.value,
            "scheme": number if hashed else None,
            "added_at": at,
            "added_by": actor[:120],
        }
    with database.writing() as session:
        before = excluded_count(session)
        on = set(_known(session, rows))
        new = [row for key, row in rows.items() if key not in on]
        if new:
            session.execute(insert(OptOut), new)
        after = excluded_count(session)
        told = f"{len(entries)} given, {len(new)} new; {after} patients of the enclave are left out"
        audit.record(session, actor, "add-opt-outs", "register", told, clock=lambda: at)
    return Changed(len(entries), len(new), before, after)


def remove(
    database: Database,
    register: Register,
    entries: Sequence[Entry],
    *,
    scheme: Scheme | None = None,
    actor: str,
    at: datetime,
) -> Changed:
    """Take entries off the register: who has no other entry there counts again, and may be received again."""
    keys = {_key(register, each, scheme) for each in entries}
    with database.writing() as session:
        before = excluded_count(session)
        on = list(_known(session, keys))
        for start in range(0, len(on), _AT_ONCE):
            session.execute(delete(OptOut).where(OptOut.key.in_(on[start : start + _AT_ONCE])))
        after = excluded_count(session)
        told = f"{len(entries)} given, {len(on)} removed; {after} patients of the enclave are left out"
        audit.record(session, actor, "remove-opt-outs", "register", told, clock=lambda: at)
    return Changed(len(entries), len(on), before, after)


def match_missing(database: Database, register: Register, vault: Vault, *, actor: str) -> int:
    """Make the keys of patients who were in the enclave before keys were kept; returns for how many.

    The vault is opened for it, on the record.
    """
    with database.reading() as session:
        noted = select(PatientKey.pseudonym)
        missing = set(session.scalars(select(EnclavePatient.pseudonym).where(EnclavePatient.pseudonym.not_in(noted))))
    if missing:
        _note(database, register, vault, missing, actor=actor, reason="to match patients with the opt-outs")
    return len(missing)


def _scheme(database: Database, register: Register, vault: Vault, scheme: Scheme, *, actor: str, at: datetime) -> int:
    """The row of a scheme, made if it is new; then every patient's keys are made under it too."""
    fingerprint = register.keys.fingerprint(scheme)
    with database.writing() as session:
        row = session.scalar(select(OptOutScheme).where(OptOutScheme.fingerprint == fingerprint))
        if row is None:
            row = OptOutScheme(
                kind=scheme.kind.value, fingerprint=fingerprint, sealed=register.seal(scheme), added_at=at
            )
            session.add(row)
            session.flush()
        number = row.id
    _note(database, register, vault, None, actor=actor, reason="to match patients with a hashed list of opt-outs")
    return number


def _note(
    database: Database, register: Register, vault: Vault, wanted: set[str] | None, *, actor: str, reason: str
) -> None:
    part: dict[str, PatientIds] = {}

    def write() -> None:
        with database.writing() as session:
            # In the enclave, or known by keys alone: of whom there are health records and no images.
            here = set(session.scalars(select(EnclavePatient.pseudonym).where(EnclavePatient.pseudonym.in_(part))))
            here |= set(session.scalars(select(PatientKey.pseudonym).where(PatientKey.pseudonym.in_(part))))
            keys = register.keys_of(session, {each: ids for each, ids in part.items() if each in here})
            register.note(session, keys)
        part.clear()

    for pseudonym, ids in vault.patients(actor=actor, reason=reason):
        if wanted is None or pseudonym in wanted:
            part[pseudonym] = ids
        if len(part) >= _AT_ONCE:
            write()
    if part:
        write()


def _key(register: Register, each: Entry, scheme: Scheme | None) -> str:
    if each.kind is Kind.NHS:
        return register.keys.nhs(each.value)
    if each.kind is Kind.LOCAL:
        return register.keys.local(each.value, each.issuer)
    if scheme is None or scheme.kind is not each.kind:
        raise NotAllowed(f"the list has entries of kind {each.kind}; name their salt or key with --secret-file")
    return register.keys.hashed(scheme, each.value)


def _known(session: Session, keys: Iterable[str]) -> Iterable[str]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), _AT_ONCE):
        yield from session.scalars(select(OptOut.key).where(OptOut.key.in_(ordered[start : start + _AT_ONCE])))
