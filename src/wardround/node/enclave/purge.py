"""Takes data out of the enclave for good: rows, objects, volumes, and their place in frozen cohorts.

In two steps. One transaction deletes the rows, writes the audit, keeps what the ledger is to be told and lists what is
to go from the disk; from its commit on nobody finds the data any more. Then the files go, one by one, and are struck
off the list: a crash at any moment leaves a list that `finish_purges` works off. An object that another row names
stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, delete, exists, func, insert, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound
from wardround.foundation.files import ObjectStore, flush_directory
from wardround.ledger.commitment import commitment
from wardround.node import audit
from wardround.node.enclave import changes
from wardround.node.enclave.case import volumes_folder
from wardround.node.enclave.tables import (
    EnclaveInstance,
    EnclaveLabel,
    EnclavePatient,
    EnclavePurge,
    EnclaveRemoval,
    EnclaveSeries,
    EnclaveStudy,
    EnclaveTrial,
    EnclaveUnusable,
)
from wardround.node.evidence.tables import ValidationCase
from wardround.node.projects.person import frozen_as
from wardround.node.projects.tables import ManifestRow
from wardround.node.record.purges import Purges

SETTLING = timedelta(minutes=2)
"""How long after an object was put it is left on the disk: whoever put it may be about to write its row."""

CODES = {
    "study": "study-purged",
    "patient": "patient-purged",
    "project": "project-purged",
    "before": "kept-long-enough",
}
"""Why, as the ledger shows it, by scope."""

_CHUNK = 400
_FILES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Scope:
    """What to purge: a study by its (new) UID, a patient by pseudonym, what a project's frozen cohort names and no
    other project's does, or the studies whose last object was indexed before a moment.

    `target` is the UID, pseudonym or project, or the moment in ISO 8601 with its offset.
    """

    kind: Literal["study", "patient", "project", "before"]
    target: str

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


@dataclass(frozen=True, slots=True)
class PurgePreview:
    """What a purge would take.

    bytes: of the objects that would go. shared: objects that stay, since something else names them too. kept: of a
    project, the studies that stay since another project's frozen cohort names them. manifests: studies that would
    leave each project's frozen cohort.
    """

    patients: int
    studies: int
    series: int
    instances: int
    objects: int
    bytes: int
    shared: int
    kept: int
    manifests: Mapping[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        return {
            "patients": self.patients,
            "studies": self.studies,
            "series": self.series,
            "instances": self.instances,
            "objects": self.objects,
            "bytes": self.bytes,
            "shared": self.shared,
            "kept": self.kept,
            "manifests": dict(self.manifests),
        }


@dataclass(frozen=True, slots=True)
class Finished:
    """What a call of `finish_purges` did: files and bytes that went, and how many have still to settle."""

    removed: int
    bytes: int
    waiting: int


def preview(session: Session, scope: Scope) -> PurgePreview:
    """What `order_purge` would take now.

    Raises:
        NotFound: there is nothing of that name.
    """
    studies, kept = _studies(session, scope)
    if scope.kind in ("study", "patient") and not studies:
        raise NotFound(f"the enclave holds no {scope.kind} of that name")
    return _measured(session, studies, kept)


def order_purge(
    session: Session, scope: Scope, record: Purges, *, actor: str, reason: str, at: datetime, code: str | None = None
) -> PurgePreview:
    """Delete the rows in the caller's transaction, with their audit and what the ledger is to be told, and list the
    files for `finish_purges`.

    Nothing of that name is no error: it was purged before, and the audit says so.

    Args:
        record: what keeps the ledger's entry in the same transaction; of a purge of nothing there is none.
        actor: as in `wardround.node.audit.record`.
        reason: why, in the person's own words; kept in the audit.
        code: why, as the ledger shows it to all; by the scope if not given.

    Raises:
        ValueError: no reason is given.
    """
    if not reason.strip():
        raise ValueError("say why this is purged; the reason goes into the audit")
    studies, kept = _studies(session, scope)
    gone = _measured(session, studies, kept)
    ordered = EnclavePurge(
        actor=actor, scope=scope.kind, reason=reason.strip(), counts=gone.counts(), ordered_at=at, finished_at=None
    )
    session.add(ordered)
    session.flush()
    people: set[str] = set()
    decisions: set[int] = set()
    for chunk in _chunks(studies):
        people.update(session.scalars(select(EnclaveStudy.pseudonym).where(EnclaveStudy.uid.in_(chunk))))
        _list_files(session, ordered.id, chunk)
        decisions |= _forget_in_manifests(session, chunk, at)
        _delete_rows(session, chunk)
    if scope.kind == "patient":
        frozen = _forget_in_manifests(session, [frozen_as(scope.target)], at)
        people, decisions = people | ({scope.target} if frozen else set()), decisions | frozen
    if studies or decisions:
        record.tell(session, reason=code or CODES[scope.kind], people=people, decisions=decisions, at=at)
    told = f"{reason.strip()}; {gone.studies} studies, {gone.instances} objects, {gone.bytes} bytes"
    audit.record(session, actor, "purge-enclave", str(scope)[:200], told, clock=lambda: at)
    return gone


def holds(session: Session, pseudonym: str) -> bool:
    """Has the enclave a study of theirs, or a frozen cohort their records?"""
    study = select(EnclaveStudy.uid).where(EnclaveStudy.pseudonym == pseudonym).limit(1)
    frozen = select(ManifestRow.id).where(ManifestRow.study == frozen_as(pseudonym)).limit(1)
    return session.scalar(study) is not None or session.scalar(frozen) is not None


def purge_patient(
    session: Session, pseudonym: str, record: Purges, *, actor: str, reason: str, at: datetime, code: str | None = None
) -> PurgePreview:
    """Take one patient out of the enclave, in the caller's transaction; then call `finish_purges`."""
    return order_purge(session, Scope("patient", pseudonym), record, actor=actor, reason=reason, at=at, code=code)


def finish_purges(
    database: Database, objects: ObjectStore, volumes: Path, *, at: datetime, settling: timedelta = SETTLING
) -> Finished:
    """Remove from the disk what purges have listed; to be called again while something is waiting.

    An object is looked up in the index within the transaction that strikes it off, so that one which was indexed anew
    meanwhile stays.
    """
    removed = freed = 0
    skipped: set[tuple[int, str, str]] = set()
    settled_before = (at - settling).timestamp()
    while True:
        with database.writing() as session:
            listed = _listed(session, skipped)
            if not listed:
                waiting = session.scalar(select(func.count()).select_from(EnclaveRemoval)) or 0
                _close(session, at)
                return Finished(removed, freed, waiting)
            named = set(
                session.scalars(
                    select(EnclaveInstance.digest).where(EnclaveInstance.digest.in_([row[2] for row in listed]))
                )
            )
            touched: set[Path] = set()
            for key in listed:
                _, kind, name = key
                if kind == "object" and name not in named:
                    if objects.put_since(name, settled_before):
                        skipped.add(key)
                        continue
                    size = objects.size(name)
                    if size is not None:
                        objects.remove(name)
                        touched.add(objects.path(name).parent)
                        removed, freed = removed + 1, freed + size
                elif kind == "volumes":
                    shutil.rmtree(volumes / name, ignore_errors=True)
            for directory in touched:
                flush_directory(directory)
            _strike(session, [key for key in listed if key not in skipped])


def _studies(session: Session, scope: Scope) -> tuple[list[str], int]:
    """The studies that a purge takes, and how many of a project it leaves since another project has them."""
    query: Select[Any] = select(EnclaveStudy.uid)
    kept = 0
    if scope.kind == "study":
        query = query.where(EnclaveStudy.uid == scope.target)
    elif scope.kind == "patient":
        query = query.where(EnclaveStudy.pseudonym == scope.target)
    elif scope.kind == "before":
        moment = datetime.fromisoformat(scope.target)
        newer = exists().where(
            EnclaveInstance.series_uid == EnclaveSeries.uid,
            EnclaveSeries.study_uid == EnclaveStudy.uid,
            EnclaveInstance.indexed_at >= moment,
        )
        query = query.where(~newer)
    else:
        own, other = aliased(ManifestRow), aliased(ManifestRow)
        frozen = exists().where(own.study == EnclaveStudy.uid, own.project == scope.target)
        elsewhere = exists().where(other.study == EnclaveStudy.uid, other.project != scope.target)
        kept = session.scalar(select(func.count()).select_from(EnclaveStudy).where(frozen, elsewhere)) or 0
        query = query.where(frozen, ~elsewhere)
    return list(session.scalars(query.order_by(EnclaveStudy.uid))), kept


def _measured(session: Session, studies: Sequence[str], kept: int) -> PurgePreview:
    patients: set[str] = set()
    series = instances = 0
    sizes: dict[str, int] = {}
    going: dict[str, int] = {}
    manifests: dict[str, int] = {}
    for chunk in _chunks(studies):
        patients.update(session.scalars(select(EnclaveStudy.pseudonym).where(EnclaveStudy.uid.in_(chunk))))
        mine = EnclaveSeries.study_uid.in_(chunk)
        series += session.scalar(select(func.count()).select_from(EnclaveSeries).where(mine)) or 0
        rows = session.execute(
            select(EnclaveInstance.digest, EnclaveInstance.size)
            .join(EnclaveSeries, EnclaveSeries.uid == EnclaveInstance.series_uid)
            .where(mine)
        )
        for digest, size in rows:
            instances += 1
            sizes[digest] = size
            going[digest] = going.get(digest, 0) + 1
        frozen = (
            select(ManifestRow.project, func.count(ManifestRow.study.distinct()))
            .where(ManifestRow.study.in_(chunk), ManifestRow.removed_at.is_(None))
            .group_by(ManifestRow.project)
        )
        for project, count in session.execute(frozen):
            manifests[project] = manifests.get(project, 0) + count
    shared = 0
    for digests in _chunks(sorted(going)):
        named = (
            select(EnclaveInstance.digest, func.count())
            .where(EnclaveInstance.digest.in_(digests))
            .group_by(EnclaveInstance.digest)
        )
        for digest, count in session.execute(named):
            if count > going[digest]:
                shared += 1
                del sizes[digest]
    whole = patients - _with_other_studies(session, patients, studies)
    return PurgePreview(
        patients=len(whole),
        studies=len(studies),
        series=series,
        instances=instances,
        objects=len(sizes),
        bytes=sum(sizes.values()),
        shared=shared,
        kept=kept,
        manifests=manifests,
    )


def _with_other_studies(session: Session, patients: Collection[str], studies: Sequence[str]) -> set[str]:
    going = set(studies)
    found: set[str] = set()
    for chunk in _chunks(sorted(patients)):
        rows = session.execute(
            select(EnclaveStudy.pseudonym, EnclaveStudy.uid).where(EnclaveStudy.pseudonym.in_(chunk))
        )
        found.update(pseudonym for pseudonym, uid in rows if uid not in going)
    return found


def _list_files(session: Session, purge: int, studies: Sequence[str]) -> None:
    of_studies = select(EnclaveSeries.uid).where(EnclaveSeries.study_uid.in_(studies))
    instances = select(EnclaveInstance.uid).where(EnclaveInstance.series_uid.in_(of_studies))
    digests = select(EnclaveInstance.digest).where(EnclaveInstance.series_uid.in_(of_studies)).distinct()
    # A volume holds its label too, which may be of another study than the series that it was drawn on.
    labelled = select(EnclaveLabel.labelled_series_uid).where(EnclaveLabel.uid.in_(instances))
    names = {("object", digest) for digest in session.scalars(digests)}
    names |= {("volumes", volumes_folder(uid)) for uid in (*session.scalars(of_studies), *session.scalars(labelled))}
    # Two studies of one purge may share an object, and come in different chunks.
    for chunk in _chunks(sorted(name for _, name in names)):
        known = select(EnclaveRemoval.kind, EnclaveRemoval.name).where(
            EnclaveRemoval.purge_id == purge, EnclaveRemoval.name.in_(chunk)
        )
        names -= {(kind, name) for kind, name in session.execute(known)}
    rows = [{"purge_id": purge, "kind": kind, "name": name} for kind, name in sorted(names)]
    if rows:
        session.execute(insert(EnclaveRemoval), rows)


def _forget_in_manifests(session: Session, studies: Sequence[str], at: datetime) -> set[int]:
    """Destroy the salts: of a frozen study its commitment is left, which says nothing without the salt, and with
    which the other studies' proofs still hold. Cohorts frozen for this hospital's own validations lose them whole.
    Returns the decisions that had frozen them."""
    found = select(ManifestRow).where(ManifestRow.study.in_(studies), ManifestRow.removed_at.is_(None))
    rows = session.scalars(found).all()
    for row in rows:
        row.commitment = commitment(row.salt, row.study)
        row.salt, row.patient, row.study, row.case = b"", "", "", ""
        row.removed_at = at
    # A patient of several studies is judged on one of them, and a picture doesn't say on which.
    theirs = select(ValidationCase.patient).where(ValidationCase.study.in_(studies))
    session.execute(update(ValidationCase).where(ValidationCase.patient.in_(theirs)).values(picture=None))
    session.execute(delete(ValidationCase).where(ValidationCase.study.in_(studies)))
    session.flush()
    return {row.decision for row in rows}


def _delete_rows(session: Session, studies: Sequence[str]) -> None:
    of_studies = select(EnclaveSeries.uid).where(EnclaveSeries.study_uid.in_(studies))
    instances = select(EnclaveInstance.uid).where(EnclaveInstance.series_uid.in_(of_studies))
    labelled = select(EnclaveLabel.labelled_series_uid).where(EnclaveLabel.uid.in_(instances))
    also = session.scalars(select(EnclaveSeries.study_uid).where(EnclaveSeries.uid.in_(labelled)).distinct())
    changes.note(session, {*studies, *also})
    patients = set(session.scalars(select(EnclaveStudy.pseudonym).where(EnclaveStudy.uid.in_(studies))))
    conditions: tuple[tuple[type[Any], ColumnElement[bool]], ...] = (
        (EnclaveLabel, EnclaveLabel.uid.in_(instances)),
        (EnclaveUnusable, EnclaveUnusable.series_uid.in_(of_studies)),
        (EnclaveTrial, EnclaveTrial.series_uid.in_(of_studies)),
        (EnclaveInstance, EnclaveInstance.series_uid.in_(of_studies)),
        (EnclaveSeries, EnclaveSeries.study_uid.in_(studies)),
        (EnclaveStudy, EnclaveStudy.uid.in_(studies)),
        (
            EnclavePatient,
            EnclavePatient.pseudonym.in_(patients)
            & ~exists().where(EnclaveStudy.pseudonym == EnclavePatient.pseudonym),
        ),
    )
    for table, condition in conditions:
        session.execute(delete(table).where(condition).execution_options(synchronize_session=False))


def _listed(session: Session, skipped: set[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    query = select(EnclaveRemoval.purge_id, EnclaveRemoval.kind, EnclaveRemoval.name).order_by(
        EnclaveRemoval.purge_id, EnclaveRemoval.kind, EnclaveRemoval.name
    )
    rows = ((purge, kind, name) for purge, kind, name in session.execute(query))
    return list(islice((row for row in rows if row not in skipped), _FILES_AT_ONCE))


def _strike(session: Session, keys: Sequence[tuple[int, str, str]]) -> None:
    if keys:
        columns = tuple_(EnclaveRemoval.purge_id, EnclaveRemoval.kind, EnclaveRemoval.name)
        session.execute(delete(EnclaveRemoval).where(columns.in_(keys)).execution_options(synchronize_session=False))


def _close(session: Session, at: datetime) -> None:
    left = exists().where(EnclaveRemoval.purge_id == EnclavePurge.id)
    done = update(EnclavePurge).where(EnclavePurge.finished_at.is_(None), ~left).values(finished_at=at)
    session.execute(done.execution_options(synchronize_session=False))


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
