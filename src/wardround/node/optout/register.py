"""The register of opt-outs as the way into the enclave uses it: who is on it, and under which keys a patient may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from wardround.node.optout.identifier import Kind, OptOutKeys, PatientIds, Scheme
from wardround.node.optout.tables import OptOut, OptOutScheme, PatientKey

REASON = "opted-out"
_SEALED_FOR = "opt-out scheme"
_AT_ONCE = 500
T = TypeVar("T")


class Sealer(Protocol):
    """Seals what must not lie about in clear; the vault does."""

    def seal(self, purpose: str, text: str) -> bytes: ...

    def unseal(self, purpose: str, sealed: bytes) -> str: ...


class Register:
    """The opt-outs of one site, in the caller's transactions.

    Args:
        secret: the site's secret, at least 16 bytes.
        sealer: seals the salts of hashed lists.
    """

    def __init__(self, secret: bytes, sealer: Sealer) -> None:
        self.keys = OptOutKeys(secret)
        self._sealer = sealer
        self._opened: dict[int, Scheme] = {}

    def schemes(self, session: Session) -> dict[int, Scheme]:
        """How the hashed lists that were loaded were made, by the id of their row."""
        known = set(session.scalars(select(OptOutScheme.id)))
        if known != self._opened.keys():
            self._opened = {
                row.id: Scheme(Kind(row.kind), bytes.fromhex(self._sealer.unseal(_SEALED_FOR, row.sealed)))
                for row in session.scalars(select(OptOutScheme))
            }
        return self._opened

    def seal(self, scheme: Scheme) -> bytes:
        return self._sealer.seal(_SEALED_FOR, scheme.secret.hex())

    def keys_of(self, session: Session, patients: Mapping[T, PatientIds]) -> dict[T, frozenset[str]]:
        """The keys of each patient."""
        schemes = self.schemes(session).values()
        made: dict[PatientIds, frozenset[str]] = {}
        for patient in patients.values():
            if patient not in made:
                made[patient] = self.keys.of(patient, schemes)
        return {name: made[patient] for name, patient in patients.items()}

    def opted_out(self, session: Session, keys: Mapping[T, frozenset[str]]) -> set[T]:
        """Which of them are on the register."""
        wanted = frozenset[str]().union(*keys.values())
        on = set(_in_parts(session, wanted))
        return {name for name, own in keys.items() if own & on}

    def note(self, session: Session, keys: Mapping[str, frozenset[str]]) -> None:
        """Keep the keys of patients in the enclave, by pseudonym, so that an opt-out finds them later."""
        if not keys:
            return
        here = select(PatientKey.pseudonym, PatientKey.key).where(PatientKey.pseudonym.in_(keys))
        known = {(pseudonym, key) for pseudonym, key in session.execute(here)}
        wanted = {(pseudonym, key) for pseudonym, own in keys.items() for key in own}
        rows = [{"pseudonym": pseudonym, "key": key} for pseudonym, key in sorted(wanted - known)]
        if rows:
            session.execute(insert(PatientKey), rows)


def _in_parts(session: Session, keys: Iterable[str]) -> Iterable[str]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), _AT_ONCE):
        yield from session.scalars(select(OptOut.key).where(OptOut.key.in_(ordered[start : start + _AT_ONCE])))
