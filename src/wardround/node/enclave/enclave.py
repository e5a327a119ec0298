"""What may be asked of the enclave: counts, cases, cohorts as they stand, and a case's voxels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, select
from sqlalchemy.orm import Session, aliased

from wardround.contracts.cohort_query import CohortQuestion
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.node.cohort.selection import is_image, people, selected, usable, whole_labels
from wardround.node.enclave.case import Case, CaseRef, CaseUnusable, Manifest, case_digest
from wardround.node.enclave.tables import EnclaveInstance, EnclaveLabel, EnclavePatient, EnclaveSeries, EnclaveStudy
from wardround.node.enclave.unusable import note
from wardround.node.enclave.volumes import Volumes
from wardround.node.optout.queries import excluded

_Query = Select[*tuple[Any, ...]]
_AT_ONCE = 500
"""So many series are named in one query."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the enclave holds. `series` doesn't count labels. `unlinked_labels` await the series that they name."""

    patients: int
    studies: int
    series: int
    instances: int
    bytes: int
    reference_labels: int
    unlinked_labels: int


class Enclave:
    """The de-identified data of one site.

    Args:
        database: the node's database, upgraded.
        objects: the store of the de-identified objects.
        volumes: directory for the volumes made of them.
        volumes_limit: bytes that all of these may take; those used longest ago go first.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        *,
        volumes: Path,
        volumes_limit: int | None = None,
        clock: Clock = now,
    ) -> None:
        self.database = database
        self.objects = objects
        self._volumes = Volumes(volumes, objects, limit=volumes_limit)
        self._clock = clock

    def people(self, question: CohortQuestion) -> frozenset[str]:
        """The pseudonyms of whom the question is true.

        Raises:
            NotAllowed: it asks for health records, and none are loaded here (`no-records`).
        """
        with self.database.reading() as session:
            return frozenset(session.scalars(people(question)))

    def count(self, question: CohortQuestion) -> int:
        """The exact number of distinct patients; `node.cohort.disclosure` decides what of it is told."""
        return len(self.people(question))

    def find(self, question: CohortQuestion) -> tuple[CaseRef, ...]:
        """The cases whose images a question uses, in the order of pseudonym, study and series.

        Raises:
            NotAllowed: see `people`.
        """
        return self._cases([selected(question)])

    def cases(self, series: Collection[str]) -> tuple[CaseRef, ...]:
        """The cases of those of these series that are here and may be used, in the same order."""
        uids = sorted(series)
        parts = (uids[start : start + _AT_ONCE] for start in range(0, len(uids), _AT_ONCE))
        return self._cases([and_(usable(), EnclaveSeries.uid.in_(part)) for part in parts])

    def _cases(self, conditions: Sequence[ColumnElement[bool]]) -> tuple[CaseRef, ...]:
        """The cases of the series that meet one of these conditions, none of which meets two."""
        found: list[tuple[str, str, str]] = []
        instances: dict[str, list[str]] = {}
        with self.database.reading() as session:
            for condition in conditions:
                query = select(EnclaveSeries.pseudonym, EnclaveSeries.study_uid, EnclaveSeries.uid).where(condition)
                found += session.execute(query).all()
                instances |= _instances(session, select(EnclaveSeries.uid).where(condition))
            labels = _labels(session)
        return tuple(
            CaseRef(
                pseudonym=pseudonym,
                study=study,
                series=series,
                label=label[0] if label else None,
                digest=case_digest(instances[series], label[1] if label else None),
            )
            for pseudonym, study, series in sorted(found)
            for label in (labels.get((pseudonym, series)),)
        )

    def manifest(self, question: CohortQuestion) -> Manifest:
        """The cohort of `question` as it stands now, to be frozen; the same contents give the same digest."""
        return Manifest(question=question, cases=self.find(question))

    def case(self, ref: CaseRef) -> Case:
        """The voxels of a case, as they were when `ref` was found.

        Raises:
            CaseUnusable: it gives no regular volume; its series or label has changed since, and no volume was kept
                (code `case-changed`); it was purged (`case-gone`) or its patient opted out (`opted-out`).
        """
        self._check_there(ref)
        kept = self._volumes.kept(ref)
        if kept is not None:
            return kept
        with self.database.reading() as session:
            instances = _instances(session, select(EnclaveSeries.uid).where(EnclaveSeries.uid == ref.series))
            label = None
            if ref.label is not None:
                label = session.scalar(select(EnclaveInstance.digest).where(EnclaveInstance.uid == ref.label))
        digests = instances.get(ref.series, [])
        if case_digest(digests, label) != ref.digest:
            raise CaseUnusable(
                "a series or its label has changed since the cohort was frozen; freeze it anew", code="case-changed"
            )
        try:
            case = self._volumes.make(ref, digests, label)
        except CaseUnusable as refused:
            note(self.database, ref, refused.code, self._clock())
            raise
        note(self.database, ref, None, self._clock())
        return case

    def volumes_bytes(self) -> int:
        """Bytes of the volumes that are kept for learning."""
        return self._volumes.size()

    def _check_there(self, ref: CaseRef) -> None:
        """A volume that is still kept is no way round an opt-out or a purge."""
        there = select(EnclaveSeries.pseudonym).where(EnclaveSeries.uid == ref.series)
        with self.database.reading() as session:
            if session.scalar(there) is None:
                raise CaseUnusable("the series is no longer in the enclave", code="case-gone")
            if session.scalar(there.where(EnclaveSeries.pseudonym.not_in(excluded()))) is None:
                raise CaseUnusable("the patient has opted out since", code="opted-out")
            label = select(EnclaveLabel.uid).where(EnclaveLabel.uid == ref.label)
            if ref.label is not None and session.scalar(label) is None:
                raise CaseUnusable("the label is no longer in the enclave", code="case-gone")

    def totals(self) -> Totals:
        """What the enclave holds now."""
        labelled = aliased(EnclaveSeries)
        linked = exists().where(
            labelled.uid == EnclaveLabel.labelled_series_uid, labelled.pseudonym == EnclaveLabel.pseudonym
        )
        with self.database.reading() as session:

            def number(query: _Query) -> int:
                return int(session.scalar(query) or 0)

            return Totals(
                patients=number(select(func.count()).select_from(EnclavePatient)),
                studies=number(select(func.count()).select_from(EnclaveStudy)),
                series=number(select(func.count()).select_from(EnclaveSeries).where(is_image())),
                instances=number(select(func.count()).select_from(EnclaveInstance)),
                bytes=number(select(func.sum(EnclaveInstance.size))),
                reference_labels=number(
                    select(func.count()).select_from(EnclaveLabel).where(EnclaveLabel.is_reference, linked)
                ),
                unlinked_labels=number(select(func.count()).select_from(EnclaveLabel).where(~linked)),
            )


def _instances(session: Session, series: _Query) -> dict[str, list[str]]:
    """The digests of the objects of each series."""
    found: dict[str, list[str]] = {}
    query = (
        select(EnclaveInstance.series_uid, EnclaveInstance.digest)
        .where(EnclaveInstance.series_uid.in_(series))
        .order_by(EnclaveInstance.series_uid, EnclaveInstance.position, EnclaveInstance.uid)
    )
    for uid, digest in session.execute(query):
        found.setdefault(uid, []).append(digest)
    return found


def _labels(session: Session) -> dict[tuple[str, str], tuple[str, str]]:
    """The reference label of each patient's series, as its UID and digest; of several, the one that came last."""
    query = (
        select(EnclaveLabel.pseudonym, EnclaveLabel.labelled_series_uid, EnclaveInstance.uid, EnclaveInstance.digest)
        .join(EnclaveInstance, EnclaveInstance.uid == EnclaveLabel.uid)
        .where(EnclaveLabel.is_reference, EnclaveLabel.uid.in_(whole_labels()))
        .order_by(EnclaveInstance.indexed_at, EnclaveInstance.uid)
    )
    return {(pseudonym, series): (uid, digest) for pseudonym, series, uid, digest in session.execute(query)}
