"""Takes one person out of a node for good, on both paths.

What is to go is found first and told (`Erasure.find`). Ordering it writes the audit and a sealed note of it in one
transaction; then each step removes what it finds, so that any of them can be done again: `finish` after a crash goes
on where the note says. Last the vault forgets, and the note is destroyed. The ledger keeps its commitments, which say
nothing without the salts that go with the frozen cohorts' rows.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound
from wardround.node import audit
from wardround.node.annotate.forgetting import forget as forget_labels
from wardround.node.annotate.forgetting import sweep
from wardround.node.deidentify.erasable import Found, Person
from wardround.node.deidentify.received import Places, Received
from wardround.node.deidentify.relink import forget_looks
from wardround.node.deidentify.tables import Erasure as ErasureRow
from wardround.node.deidentify.tables import OpenStudy
from wardround.node.deidentify.vault import Vault
from wardround.node.deidentify.wanted import Wanted
from wardround.node.dicomweb.forgetting import forget as forget_headers
from wardround.node.dicomweb.forgetting import kept as kept_headers
from wardround.node.enclave.purge import Scope, finish_purges, holds, preview, purge_patient
from wardround.node.enclave.tables import EnclaveStudy
from wardround.node.optout.identifier import OptOutKeys, PatientIds, nhs_number
from wardround.node.optout.queries import excluded
from wardround.node.optout.tables import PatientKey
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.commitment_store import CommitmentStore
from wardround.node.receive.route import StudyPath
from wardround.node.record.purges import Purges
from wardround.node.retrieve.forgetting import About, asks_about
from wardround.node.retrieve.forgetting import forget as forget_asks
from wardround.node.retrieve.sealing import Sealing
from wardround.node.training.forgetting import forget as forget_judgements
from wardround.node.training.forgetting import learned_from
from wardround.node.training.own import OwnArrays

log = logging.getLogger(__name__)

_SEALED_FOR = "erasure"
_CODE = "person-erased"
_STUDIES, _RECORDS = "studies of the enclave", "health records"
_AT_ONE_GO = timedelta(days=-36_500)
"""An erasure leaves no object for its youth: what is on its way in has lost its row at the front door before."""


class HealthRecords(Protocol):
    """The health records, as an erasure sees them; both raise a `WardroundError` while somebody else has them."""

    def kept(self, pseudonyms: Sequence[str]) -> int: ...

    def forget(self, pseudonyms: Sequence[str]) -> None: ...


class Erasures:
    """Finds, orders and finishes erasures.

    Args:
        purges: what keeps for the ledger what the enclave lost.
        secret: the site's secret, for the keys of the front door and of opt-outs, and projects' names for people.
        pulls: what opens the asks of pulls.
        commitments: where requests for storage commitment wait.
        records: the health records.
        own: what this hospital keeps of runs for itself.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        places: Places,
        purges: Purges,
        secret: bytes,
        clock: Clock = now,
        *,
        pulls: Sealing | None = None,
        commitments: CommitmentStore | None = None,
        records: HealthRecords | None = None,
        own: OwnArrays | None = None,
    ) -> None:
        self._own = own
        self._database = database
        self._vault = vault
        self._places = places
        self._received = Received(database, places)
        self._purges = purges
        self._front_door = KeyMaker(secret)
        self._keys = OptOutKeys(secret)
        self._pseudonyms = PseudonymKeys(secret)
        self._clock = clock
        self._pulls = pulls
        self._commitments = commitments
        self._records = records

    def find(
        self,
        pseudonyms: Sequence[str],
        *,
        patient_id: str = "",
        issuer: str = "",
        actor: str,
        reason: str,
        research_only: bool = False,
    ) -> Found:
        """What there is of a person. The vault is opened for each pseudonym, on the record; with a patient id the
        files of both paths are read too, for what never reached the enclave.

        Args:
            research_only: leave the clinical path alone.

        Raises:
            ValueError: no reason is given.
        """
        wanted = Wanted()
        every = tuple(sorted({*pseudonyms, *(self._named(patient_id, issuer) if patient_id else ())}))
        if patient_id:
            wanted.given(patient_id, issuer)
        uids: set[str] = set()
        accessions: set[str] = set()
        for pseudonym in every:
            try:
                who = self._vault.reveal(pseudonym, actor=actor, reason=reason)
            except NotFound:
                continue
            uids |= set(who.studies.values())
            accessions |= {number for number in who.accession_numbers.values() if number}
            wanted.known(PatientIds(((who.patient_id, who.issuer), *who.other_ids)))
        studies = {self._front_door.key("study", uid) for uid in uids}
        with self._database.reading() as session:
            instances = set(self._received.of_studies(session, studies, research_only))
            instances |= set(self._received.by_file(session, wanted, instances, research_only))
            instance_keys = self._received.keys(session, sorted(instances))
            asks: list[int] = []
            if self._pulls is not None:
                about = About(studies, accessions, partial(self._front_door.key, "study"), wanted.names)
                path = StudyPath.RESEARCH.value if research_only else None
                asks = asks_about(session, self._pulls, about, path=path)
        waiting: list[int] = []
        if self._commitments is not None:
            waiting = self._commitments.about(instance_keys, partial(self._front_door.key, "instance"))
        person = Person(every, tuple(sorted(studies)), tuple(sorted(instances)), tuple(asks), tuple(waiting))
        with self._database.reading() as session:
            return Found(person, self._counted(session, person, research_only), research_only)

    def order(self, found: Found, *, actor: str, reason: str) -> int:
        """Order an erasure: from here on it will be finished, whatever happens. Returns its number.

        Raises:
            ValueError: no reason is given.
        """
        if not reason.strip():
            raise ValueError("say why this person is erased; the reason goes into the audit")
        person = found.person
        note = {
            "pseudonyms": person.pseudonyms,
            "studies": person.studies,
            "instances": person.instances,
            "asks": person.asks,
            "commitments": person.commitments,
            "research_only": found.research_only,
        }
        moment = self._clock()
        with self._database.writing() as session:
            row = ErasureRow(
                actor=actor,
                reason=reason.strip(),
                ordered_at=moment,
                finished_at=None,
                sealed=self._vault.seal(_SEALED_FOR, json.dumps(note)),
                counts=found.counts,
            )
            session.add(row)
            session.flush()
            told = "; ".join(f"{number} {kind}" for kind, number in found.counts.items() if number)
            audit.record(session, actor, "order-erasure", f"erasure {row.id}", f"{reason.strip()}; {told}")
            return row.id

    def finish(self) -> list[int]:
        """Do every erasure that was ordered and isn't finished; returns their numbers."""
        with self._database.reading() as session:
            waiting = list(session.scalars(select(ErasureRow).where(ErasureRow.finished_at.is_(None))))
        for row in waiting:
            if row.sealed is None:
                continue
            note = json.loads(self._vault.unseal(_SEALED_FOR, row.sealed))
            person = Person(
                tuple(note["pseudonyms"]),
                tuple(note["studies"]),
                tuple(note["instances"]),
                tuple(note.get("asks", ())),
                tuple(note.get("commitments", ())),
            )
            self._erase(row, person, bool(note["research_only"]))
        return [row.id for row in waiting]

    def _erase(self, row: ErasureRow, person: Person, research_only: bool) -> None:
        # The front door first: what the node is working on at this moment then has no row to come to an end in.
        if self._commitments is not None:
            self._commitments.forget(person.commitments, self._clock())
        with self._database.writing() as session:
            forget_asks(session, person.asks, self._clock())
        self._received.erase(person, research_only)
        if self._records is not None:
            self._records.forget(person.pseudonyms)
        told = bool(row.counts.get(_STUDIES))
        for pseudonym in person.pseudonyms:
            self._forget_own(pseudonym)
            with self._database.writing() as session:
                if holds(session, pseudonym):
                    told = True
                    here = select(EnclaveStudy.uid).where(EnclaveStudy.pseudonym == pseudonym)
                    session.execute(delete(OpenStudy).where(OpenStudy.study_uid.in_(here)))
                    purge_patient(
                        session,
                        pseudonym,
                        self._purges,
                        actor=row.actor,
                        reason=f"erasure {row.id}",
                        at=self._clock(),
                        code=_CODE,
                    )
                forget_headers(session, pseudonym)
                forget_labels(session, pseudonym)
                forget_looks(session, pseudonym)
                forget_judgements(session, pseudonym, self._pseudonyms)
                keys = delete(PatientKey).where(PatientKey.pseudonym == pseudonym)
                if research_only:
                    # Whose opt-out names one number of several is known by the others through these alone.
                    keys = keys.where(PatientKey.pseudonym.not_in(excluded()))
                session.execute(keys.execution_options(synchronize_session=False))
        places = self._places
        finish_purges(self._database, places.objects, places.volumes, at=self._clock(), settling=_AT_ONE_GO)
        if places.labels is not None:
            sweep(self._database, places.labels, self._clock(), _AT_ONE_GO)
        for pseudonym in person.pseudonyms:
            self._vault.forget(pseudonym)
        with self._database.writing() as session:
            done = session.get_one(ErasureRow, row.id)
            done.sealed, done.finished_at = None, self._clock()
            if row.counts.get(_RECORDS) and not told:
                # Of whom there were records and no image, the enclave had nothing to tell the ledger of.
                who = person.pseudonyms
                self._purges.tell(session, reason=_CODE, people=who, decisions=(), at=self._clock())
            audit.record(session, row.actor, "finish-erasure", f"erasure {row.id}", row.reason)

    def _forget_own(self, pseudonym: str) -> None:
        """Remove what runs that learned from this person left here: arrays of this hospital's patients alone, which
        nobody else's hide. Before the frozen cohorts lose their names, since nothing else tells of which runs."""
        if self._own is None:
            return
        with self._database.reading() as session:
            runs = learned_from(session, pseudonym)
        for run in runs:
            self._own.forget(run)

    def _named(self, patient_id: str, issuer: str) -> tuple[str, ...]:
        """The pseudonyms under which the enclave has a patient by this id: a local id or an NHS number."""
        number = nhs_number(patient_id)
        keys = {self._keys.local(patient_id, issuer)} | ({self._keys.nhs(number)} if number is not None else set())
        with self._database.reading() as session:
            return tuple(session.scalars(select(PatientKey.pseudonym).where(PatientKey.key.in_(keys)).distinct()))

    def _counted(self, session: Session, person: Person, research_only: bool) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for pseudonym in person.pseudonyms:
            with suppress(NotFound):
                gone = preview(session, Scope("patient", pseudonym))
                counts[_STUDIES] += gone.studies
                counts["objects of the enclave"] += gone.objects
                counts["studies of frozen cohorts"] += sum(gone.manifests.values())
            counts["headers for viewers"] += kept_headers(session, pseudonym)
            counts["facts of the vault"] += self._vault.counted(pseudonym)
        counts.update(self._received.counted(session, person, research_only))
        if self._records is not None:
            counts[_RECORDS] = self._records.kept(person.pseudonyms)
        counts["asks of pulls"] = len(person.asks)
        counts["waiting commitments"] = len(person.commitments)
        return dict(counts)


def cut_off(database: Database) -> bool:
    """Whether an erasure was ordered and isn't finished."""
    with database.reading() as session:
        return session.scalar(select(ErasureRow.id).where(ErasureRow.finished_at.is_(None)).limit(1)) is not None
