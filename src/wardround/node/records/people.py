"""Whom records are about: the same pseudonym and the same shift of dates as the person's images have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.database import Database
from wardround.node.deidentify.vault import Vault
from wardround.node.optout.identifier import PatientIds
from wardround.node.optout.queries import opted_out_of
from wardround.node.optout.register import Register
from wardround.node.records.keys import RecordKeys
from wardround.node.records.row import PersonIdentity

_REMEMBERED = 100_000
_AT_ONCE = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Whom:
    """A person of the records: `days` are added to each of their dates."""

    pseudonym: str
    days: int
    person_id: int
    word: int


class People:
    """Turns identities into persons of the records.

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
        self.database, self.vault, self.register = database, vault, register
        self._pseudonyms, self._keys = pseudonyms, keys
        self._home_issuer = home_issuer.strip()

    def meeting(self) -> Meeting:
        """Those of one load; what it remembers it forgets with that load, since an erasure may come in between."""
        return Meeting(self)

    def whom(self, ids: PatientIds) -> Whom:
        """The person whom the first of these ids names."""
        patient_id, issuer = ids.ids[0]
        pseudonym = self._pseudonyms.patient(patient_id, issuer)
        days = self._pseudonyms.days(patient_id, issuer)
        return Whom(pseudonym, days, self._keys.person(pseudonym), self._keys.word(pseudonym))

    def ids(self, identity: PersonIdentity) -> PatientIds:
        """Every id of theirs, as `ids_of` has them."""
        return ids_of(identity, self._home_issuer)


def ids_of(identity: PersonIdentity, home_issuer: str) -> PatientIds:
    """Every id that an identity gives, the first one first, as the way into the enclave has them."""

    def pair(text: str, issuer: str) -> tuple[str, str]:
        plain = issuer.strip(" \0")
        return text.strip(" \0"), "" if plain == home_issuer.strip() else plain

    first = pair(identity.patient_id, identity.issuer)
    others = (pair(text, issuer) for text, issuer in identity.others)
    return PatientIds(tuple(dict.fromkeys((first, *(other for other in others if other[0])))))


class Meeting:
    """See `People.meeting`."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._known: dict[PersonIdentity, tuple[PatientIds, Whom]] = {}
        self._kept: set[PersonIdentity] = set()

    def meet(self, identities: Iterable[PersonIdentity]) -> dict[PersonIdentity, Whom]:
        """The persons behind identities, each with an id that isn't blank.

        Their ids are noted as keyed digests, also those of people who opted out: a later record that names them by
        another of their ids alone is known for theirs by that.
        """
        wanted = list(dict.fromkeys(identities))
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        new = [each for each in wanted if each not in self._known]
        for each in new:
            ids = self._people.ids(each)
            self._known[each] = ids, self._people.whom(ids)
        for part in _parts(new):
            self._note(part)
        return {each: self._known[each][1] for each in wanted}

    def opted_out(self, pseudonyms: Iterable[str]) -> set[str]:
        """Which of these people, who were met, opted out of research by any of their ids."""
        with self._people.database.reading() as session:
            return opted_out_of(session, pseudonyms)

    def keep(self, identities: Iterable[PersonIdentity]) -> None:
        """Have the vault know these people, who were met, durably; before anything of theirs is in the records."""
        if len(self._kept) > _REMEMBERED:
            self._kept.clear()
        new = [each for each in dict.fromkeys(identities) if each not in self._kept]
        for part in _parts(new):
            by_pseudonym: dict[str, tuple[tuple[str, str], ...]] = {}
            for each in part:
                ids, whom = self._known[each]
                before = by_pseudonym.get(whom.pseudonym, ())
                by_pseudonym[whom.pseudonym] = tuple(dict.fromkeys((*before, *ids.ids)))
            self._people.vault.know({pseudonym: PatientIds(ids) for pseudonym, ids in by_pseudonym.items()})
        self._kept.update(new)

    def _note(self, part: Sequence[PersonIdentity]) -> None:
        register = self._people.register
        with self._people.database.writing() as session:
            keys = register.keys_of(session, {each: self._known[each][0] for each in part})
            noted: dict[str, frozenset[str]] = {}
            for each, own in keys.items():
                pseudonym = self._known[each][1].pseudonym
                noted[pseudonym] = noted.get(pseudonym, frozenset()) | own
            register.note(session, noted)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
