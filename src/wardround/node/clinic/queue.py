"""The queue in front of the models: which studies a pathway takes, and which of them is read next."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.clinic.definition import Definition, Priority
from wardround.node.clinic.examination import priority_of
from wardround.node.clinic.prior import PriorFound, Priors
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.receive.arrival import Unreadable
from wardround.node.receive.clinical import OVERLAP, ClinicalStudy, clinical_studies, clinical_study

_log = logging.getLogger(__name__)


class Queue:
    """Everything in it is a row of the worklist, so that it is there after a crash as it was before.

    Args:
        clinical: where the studies of the clinical path lie.
    """

    def __init__(self, database: Database, clinical: Path, clock: Clock) -> None:
        self._database = database
        self._clinical = clinical
        self._clock = clock
        self._priors = Priors(database, clinical, clock)
        self._asked: datetime | None = None
        self._served: frozenset[int] = frozenset()

    def enlist(self, serving: Mapping[int, tuple[Deployment, Definition]]) -> int:
        """Put every complete study that came since a model was taken into use before it; returns how many.

        A study that isn't one of the pathway's gets its row too, so that it isn't looked at again.
        """
        if not serving:
            return 0
        if self._served != frozenset(serving):  # a pathway that was shut has missed what came meanwhile
            self._served, self._asked = frozenset(serving), None
        since = self._asked or min(deployment.deployed_at for deployment, _ in serving.values())
        studies = clinical_studies(self._database, self._clinical, completed_since=since)
        wanted = self._unknown(studies, serving)
        rows = [self._row(study, *serving[number]) for study, number in wanted]
        if rows:
            with self._database.writing() as session:
                session.add_all(rows)
        if studies:
            newest = max(study.completed_at for study in studies if study.completed_at is not None)
            self._asked = max(since, newest - OVERLAP)
        return sum(row.state == ReadingState.WAITING for row in rows)

    def overdue(self) -> int:
        """End the wait of what no result is wanted of any more, since its deadline has passed or another model took the
        place of the one that it waits for: it keeps its normal order. Returns how many."""
        at = self._clock()
        replaced = and_(Deployment.active.is_(False), Deployment.suspended_at.is_(None))
        late = (
            select(WorklistLine)
            .join(Deployment, Deployment.id == WorklistLine.deployment)
            .where(WorklistLine.state == ReadingState.WAITING, or_(WorklistLine.due_at < at, replaced))
        )
        with self._database.reading() as session:
            if session.scalars(late.limit(1)).first() is None:
                return 0
        with self._database.writing() as session:
            lines = session.scalars(late).all()
            for line in lines:
                passed = line.due_at is not None and line.due_at < at
                line.state, line.reason = ReadingState.FAILED, "deadline-passed" if passed else "model-replaced"
                audit.record(session, "program", "fail-study", line.study, line.reason, clock=lambda: at)
        return len(lines)

    def next(self, serving: Collection[int], passed: Collection[int]) -> WorklistLine | None:
        """What is read next: emergencies first, then by deadline, then by arrival.

        Args:
            serving: the deployments that read now.
            passed: lines that were tried already.
        """
        with self._database.reading() as session:
            return session.scalars(
                select(WorklistLine)
                .where(
                    WorklistLine.state == ReadingState.WAITING,
                    WorklistLine.deployment.in_(serving),
                    WorklistLine.id.not_in(passed),
                )
                .order_by(
                    case((WorklistLine.priority == "emergency", 0), else_=1),
                    func.coalesce(WorklistLine.due_at, WorklistLine.arrived_at),
                    WorklistLine.arrived_at,
                    WorklistLine.id,
                )
                .limit(1)
            ).first()

    def study(self, line: WorklistLine) -> ClinicalStudy | None:
        """The study of a line, in its newest version; None where it isn't whole now, or was purged."""
        return clinical_study(self._database, self._clinical, line.study)

    def prior(self, study: ClinicalStudy, definition: Definition) -> PriorFound | None:
        """The earlier study that a pathway reads beside a study, as `Priors.of`."""
        return self._priors.of(study, definition)

    def _unknown(
        self, studies: Sequence[ClinicalStudy], serving: Mapping[int, tuple[Deployment, Definition]]
    ) -> list[tuple[ClinicalStudy, int]]:
        with self._database.reading() as session:
            known = _known(session, [study.key for study in studies])
        return [
            (study, number)
            for study in studies
            for number, (deployment, _) in serving.items()
            if (study.key, study.version, number) not in known and study.last_at >= deployment.deployed_at
        ]

    def _row(self, study: ClinicalStudy, deployment: Deployment, definition: Definition) -> WorklistLine:
        priority: Priority | None
        try:
            priority = priority_of(definition, [files[0] for files in study.series.values()])
        except (Unreadable, OSError) as error:
            # What can't be looked at is put before the reading process, which says what is wrong with it.
            _log.error("a study of the clinic could not be looked at: %s", type(error).__name__)
            priority = "routine"
        return WorklistLine(
            study=study.key,
            version=study.version,
            deployment=deployment.id,
            state=ReadingState.ELSEWHERE if priority is None else ReadingState.WAITING,
            arrived_at=study.last_at,
            priority=priority or "routine",
            due_at=None if priority is None else study.last_at + definition.within(priority),
            definition=definition.digest,
        )


def _known(session: Session, studies: Sequence[str]) -> set[tuple[str, int, int]]:
    found: set[tuple[str, int, int]] = set()
    for start in range(0, len(studies), 500):
        part = studies[start : start + 500]
        asked = select(WorklistLine.study, WorklistLine.version, WorklistLine.deployment)
        found |= {
            (study, version, deployment)
            for study, version, deployment in session.execute(asked.where(WorklistLine.study.in_(part)))
        }
    return found
