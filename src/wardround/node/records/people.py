"""Whom records are about: the same pseudonym and the same shift of dates as the person's images have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.database import Database
from wardround.node.deidentify.vault import Vault
from wardround.node.optout.identifier import PatientIds
from wardround.node.optout.register import Register
from wardround.node.records.keys import RecordKeys
from wardround.node.records.row import PersonIdentity

_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Whom:
    """A person of the records: `days` are added to each of their dates."""

    pseudonym: str
    days: int
    person_id: int
    word: int
    opted_out: bool


class People:
    """Turns identities into persons of the records, and has the vault and the opt-outs know them.

    Args:
        home_issuer: the issuer of the hospital's own ids, as in `node.toml`: it means the same as none.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        register: Register,
        pseudonyms: PseudonymKeys,
        keys: RecordKeys,
        home_issuer: str = "",
    ) -> None:
        self._database, self._vault, self._register = database, vault, register
        self._pseudonyms, self._keys = pseudonyms, keys
        self._home_issuer = home_issuer.strip()
        self._known: dict[PersonIdentity, Whom] = {}

    def meet(self, identities: Iterable[PersonIdentity], *, keep: bool) -> dict[PersonIdentity, Whom]:
        """The persons behind identities. keep: have the vault remember those who didn't opt out."""
        wanted = dict.fromkeys(identities)
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        new = [each for each in wanted if each not in self._known]
        ids = {each: self._ids(each) for each in new}
        with self._database.reading() as session:
            keys = self._register.keys_of(session, ids)
            out = set[PersonIdentity]()
            for start in range(0, len(new), 500):
                out |= self._register.opted_out(session, {each: keys[each] for each in new[start : start + 500]})
        for each in new:
            patient_id, issuer = ids[each].ids[0]
            pseudonym = self._pseudonyms.patient(patient_id, issuer)
            self._known[each] = Whom(
                pseudonym,
                self._pseudonyms.days(patient_id, issuer),
                self._keys.person(pseudonym),
                self._keys.word(pseudonym),
                each in out,
            )
        if keep:
            self._keep({each: ids[each] for each in new if each not in out}, keys)
        return {each: self._known[each] for each in wanted}

    def _keep(self, ids: dict[PersonIdentity, PatientIds], keys: dict[PersonIdentity, frozenset[str]]) -> None:
        everyone = list(ids)
        for start in range(0, len(everyone), 500):
            part = everyone[start : start + 500]
            by_pseudonym: dict[str, PatientIds] = {}
            noted: dict[str, frozenset[str]] = {}
            for each in part:
                pseudonym = self._known[each].pseudonym
                before = by_pseudonym[pseudonym].ids if pseudonym in by_pseudonym else ()
                by_pseudonym[pseudonym] = PatientIds(tuple(dict.fromkeys((*before, *ids[each].ids))))
                noted[pseudonym] = noted.get(pseudonym, frozenset()) | keys[each]
            self._vault.know(by_pseudonym)
            with self._database.writing() as session:
                self._register.note(session, noted)

    def _ids(self, identity: PersonIdentity) -> PatientIds:
        first = (identity.patient_id.strip(), self._issuer(identity.issuer))
        others = ((text.strip(), self._issuer(issuer)) for text, issuer in identity.others)
        return PatientIds(tuple(dict.fromkeys((first, *(pair for pair in others if pair[0])))))

    def _issuer(self, issuer: str) -> str:
        return "" if issuer.strip() == self._home_issuer else issuer.strip()
