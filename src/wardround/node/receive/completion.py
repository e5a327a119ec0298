"""When a study is complete: once all that the PACS states is here, or nothing has come for a while.

A late instance opens it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, ScalarSelect, and_, func, or_, select
from sqlalchemy.orm import aliased

from wardround.foundation.database import Database
from wardround.node.receive.register import NO_PATH
from wardround.node.receive.route import StudyPath
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy

SETTLED = timedelta(seconds=1)
"""How long a study that has all of its stated instances has to be quiet."""


@dataclass(frozen=True, slots=True)
class CompleteStudy:
    """A study on one path that was found complete. `reopened` is 0 the first time."""

    id: int
    path: StudyPath
    key: str
    reopened: int
    instances: int


def complete_studies(database: Database, *, quiet: timedelta, now: datetime) -> list[CompleteStudy]:
    """Mark the studies for which no instance came for `quiet`, or that have all that the PACS states and were quiet
    for a second; return those on a path that became complete."""
    due = select(ReceivedStudy.id).where(_is_due(quiet, now))
    with database.reading() as session:
        if session.scalar(due.limit(1)) is None:
            return []
    with database.writing() as session:
        studies = list(session.scalars(select(ReceivedStudy).where(ReceivedStudy.id.in_(due))))
        counted = dict(
            session.execute(
                select(ReceivedInstance.study_id, func.count())
                .where(ReceivedInstance.study_id.in_([study.id for study in studies]))
                .group_by(ReceivedInstance.study_id)
            ).all()
        )
        for study in studies:
            study.completed_at = now
        return [
            CompleteStudy(study.id, StudyPath(study.path), study.study_key, study.reopened, counted.get(study.id, 0))
            for study in studies
            if study.path != NO_PATH
        ]


def next_due(database: Database, *, quiet: timedelta, now: datetime) -> datetime | None:
    """When the next study may be complete if nothing more comes; None where none is open. May lie in the past."""
    study, settled = ReceivedStudy, min(SETTLED, quiet)
    is_open = study.completed_at.is_(None)
    with database.reading() as session:
        oldest = session.scalar(select(func.min(study.last_at)).where(is_open))
        recent = (is_open, study.stated.is_not(None), study.last_at > now - settled)
        stated = session.scalar(select(func.min(study.last_at)).where(*recent))
    if oldest is None:
        return None
    return oldest + quiet if stated is None else min(oldest + quiet, stated + settled)


def _is_due(quiet: timedelta, now: datetime) -> ColumnElement[bool]:
    study = ReceivedStudy
    settled = study.last_at <= now - min(SETTLED, quiet)
    whole = and_(study.stated.is_not(None), settled, study.stated <= _arrived())
    return study.completed_at.is_(None) & or_(study.last_at <= now - quiet, whole)


def _arrived() -> ScalarSelect[int]:
    """The distinct instances of a study that came for its path: taken in, or discarded by a rule of the hospital's,
    for which the PACS counts them all the same."""
    twin = aliased(ReceivedStudy)
    here = ReceivedInstance.path == ReceivedStudy.path
    return (
        select(func.count(ReceivedInstance.instance_key.distinct()))
        .join(twin, ReceivedInstance.study_id == twin.id)
        .where(
            twin.study_key == ReceivedStudy.study_key,
            twin.path.in_([ReceivedStudy.path, NO_PATH]),
            or_(here & (ReceivedInstance.state != State.PURGED.value), ReceivedInstance.path == NO_PATH),
        )
        .correlate(ReceivedStudy)
        .scalar_subquery()
    )
