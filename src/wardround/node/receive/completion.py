"""When a study is complete: when nothing has come for it for a while. A late instance opens it again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from wardround.foundation.database import Database
from wardround.node.receive.register import NO_PATH
from wardround.node.receive.route import StudyPath
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy


@dataclass(frozen=True, slots=True)
class CompleteStudy:
    """A study on one path that was found complete. `reopened` is 0 the first time."""

    id: int
    path: StudyPath
    key: str
    reopened: int
    instances: int


def complete_studies(database: Database, *, quiet: timedelta, now: datetime) -> list[CompleteStudy]:
    """Mark the studies for which no instance came for `quiet`, and return those on a path that became complete."""
    with database.reading() as session:
        due = select(ReceivedStudy.id).where(ReceivedStudy.completed_at.is_(None), ReceivedStudy.last_at <= now - quiet)
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
