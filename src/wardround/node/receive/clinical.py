"""The clinical path's studies: handed over as they arrived, kept for days, then purged."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.files import flush_directory
from wardround.node.audit import record
from wardround.node.receive.route import StudyPath
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy

OVERLAP = timedelta(minutes=1)
"""How far back whoever follows the studies asks again: what was complete is told by a clock before its row is there."""


@dataclass(frozen=True, slots=True)
class ClinicalStudy:
    """A study as the hospital sent it.

    `series` maps the key of each series to its files, in order of arrival. `version` grows by one each time
    that late instances open the study again. `calling_title` is the peer that sent the first instance.
    """

    id: int
    key: str
    version: int
    complete: bool
    first_at: datetime
    last_at: datetime
    completed_at: datetime | None
    calling_title: str
    series: dict[str, list[Path]] = field(repr=False)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for files in self.series.values() for file in files)


def clinical_studies(
    database: Database,
    clinical: Path,
    *,
    complete: bool | None = True,
    key: str | None = None,
    completed_since: datetime | None = None,
) -> list[ClinicalStudy]:
    """The studies that are on the clinical path now, oldest first.

    Args:
        clinical: the root directory given to the `Reception`.
        complete: only complete ones, only open ones, or (`None`) both.
        key: only this study.
        completed_since: only those that were complete at that moment or after it.
    """
    query = (
        select(ReceivedStudy, ReceivedInstance)
        .join(ReceivedInstance, ReceivedInstance.study_id == ReceivedStudy.id)
        .where(ReceivedStudy.path == StudyPath.CLINIC.value, ReceivedInstance.state == State.CLINICAL.value)
        .order_by(ReceivedStudy.first_at, ReceivedStudy.id, ReceivedInstance.id)
    )
    if complete is not None:
        done = ReceivedStudy.completed_at.is_not(None)
        query = query.where(done if complete else ~done)
    if key is not None:
        query = query.where(ReceivedStudy.study_key == key)
    if completed_since is not None:
        query = query.where(ReceivedStudy.completed_at >= completed_since)
    found: dict[int, ClinicalStudy] = {}
    with database.reading() as session:
        for study, instance in session.execute(query):
            handed = found.setdefault(
                study.id,
                ClinicalStudy(
                    id=study.id,
                    key=study.study_key,
                    version=study.reopened,
                    complete=study.completed_at is not None,
                    first_at=study.first_at,
                    last_at=study.last_at,
                    completed_at=study.completed_at,
                    calling_title=instance.calling_title,
                    series={},
                ),
            )
            if instance.file is not None:
                handed.series.setdefault(instance.series_key, []).append(clinical / instance.file)
    return list(found.values())


def clinical_study(
    database: Database, clinical: Path, key: str, *, complete: bool | None = True
) -> ClinicalStudy | None:
    """One of them by its key, as `clinical_studies`; None where it isn't there, or not so."""
    return next(iter(clinical_studies(database, clinical, complete=complete, key=key)), None)


def in_clinic(session: Session, key: str) -> bool:
    """Whether a complete study's files are still on the clinical path."""
    instances = select(ReceivedInstance.id).join(ReceivedStudy, ReceivedInstance.study_id == ReceivedStudy.id)
    here = instances.where(
        ReceivedStudy.path == StudyPath.CLINIC.value,
        ReceivedStudy.study_key == key,
        ReceivedStudy.completed_at.is_not(None),
        ReceivedInstance.state == State.CLINICAL.value,
    )
    return session.scalar(here.limit(1)) is not None


@dataclass(frozen=True, slots=True)
class Purged:
    studies: int
    instances: int


def purge_clinical(
    database: Database,
    clinical: Path,
    *,
    older_than: datetime,
    actor: str,
    clock: Clock = now,
) -> Purged:
    """Remove the clinical path's studies whose last instance came before `older_than`; leaves a row in the audit.

    The rows are committed first and the files go after; files that a crash leaves behind go at the next
    `Reception.recover`.
    """
    with database.writing() as session:
        rows = list(
            session.scalars(
                select(ReceivedInstance)
                .join(ReceivedStudy, ReceivedInstance.study_id == ReceivedStudy.id)
                .where(
                    ReceivedStudy.path == StudyPath.CLINIC.value,
                    ReceivedStudy.last_at < older_than,
                    ReceivedInstance.state == State.CLINICAL.value,
                )
            )
        )
        purged = Purged(len({row.study_id for row in rows}), len(rows))
        if not rows:
            return purged
        record(
            session,
            actor,
            "purge",
            "clinical studies",
            f"{purged.studies} studies, {purged.instances} instances, from before {older_than.isoformat()}",
            clock=clock,
        )
        files = [clinical / row.file for row in rows if row.file is not None]
        for row in rows:
            check_step(State(row.state), State.PURGED)
            row.state, row.file, row.changed_at = State.PURGED.value, None, clock()
    for file in files:
        file.unlink(missing_ok=True)
    for directory in {file.parent for file in files}:
        # A late instance may be on its way into it.
        with suppress(OSError):
            directory.rmdir()
    flush_directory(clinical)
    return purged
