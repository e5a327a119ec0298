"""The clinical loop: each complete study is read by each model in use, and what that gives is kept to be sent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.compute.worker import Worker, WorkerDied
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.clinic import reader
from wardround.node.clinic.deployment import Deployments, active
from wardround.node.clinic.states import ReadingState, check_transition
from wardround.node.clinic.suspension import end_suspended, waiting_for_suspended
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.receive.clinical import ClinicalStudy
from wardround.node.report.shelf import Shelf

_log = logging.getLogger(__name__)

ATTEMPTS = 3
Studies = Callable[[], Sequence[ClinicalStudy]]


class Pathway:
    """`tick` takes every step that is due; a study that fails holds up no other.

    Args:
        studies: the complete studies on the clinical path.
        shelf: where results are kept until they are sent (`wardround.node.report`).
    """

    def __init__(
        self,
        database: Database,
        deployments: Deployments,
        worker: Worker,
        studies: Studies,
        shelf: Shelf,
        clock: Clock,
        *,
        threads: int = 1,
    ) -> None:
        self._database = database
        self._deployments = deployments
        self._worker = worker
        self._studies = studies
        self._shelf = shelf
        self._clock = clock
        self._threads = threads
        self._warmed: set[str] = set()

    def tick(self) -> int:
        """Enlist new studies and read those that wait; returns how many steps were taken."""
        steps = self._end_suspended()
        with self._database.reading() as session:
            in_use = active(session)
        if not in_use:
            return steps
        self._warm(in_use)
        studies = list(self._studies())
        steps += self._enlist(studies, in_use)
        by_key = {study.key: study for study in studies}
        for line in self._lines(ReadingState.WAITING):
            study = by_key.get(line.study)
            if study is None:
                continue
            if study.version > line.version:
                self._settle(line, ReadingState.FAILED, reason="newer-version")
            else:
                self._read(line, study)
            steps += 1
        return steps

    def _end_suspended(self) -> int:
        """End what waits for a model that a person suspended: what was enlisted while they did."""
        with self._database.reading() as session:
            if session.execute(waiting_for_suspended()).first() is None:
                return 0
        with self._database.writing() as session:
            return end_suspended(session)

    def _warm(self, in_use: Sequence[Deployment]) -> None:
        for deployment in in_use:
            if deployment.model not in self._warmed:
                self._warmed.add(deployment.model)
                self._worker.submit(reader.warm, self._deployments.package(deployment.model), self._threads)

    def _enlist(self, studies: Sequence[ClinicalStudy], in_use: Sequence[Deployment]) -> int:
        new = 0
        with self._database.reading() as session:
            asked = select(WorklistLine.study, WorklistLine.version, WorklistLine.deployment)
            known = {(study, version, deployment) for study, version, deployment in session.execute(asked)}
        wanted = [
            (study, deployment)
            for study in studies
            for deployment in in_use
            if (study.key, study.version, deployment.id) not in known and study.last_at >= deployment.deployed_at
        ]
        if wanted:
            with self._database.writing() as session:
                for study, deployment in wanted:
                    session.add(
                        WorklistLine(
                            study=study.key,
                            version=study.version,
                            deployment=deployment.id,
                            state=ReadingState.WAITING,
                            arrived_at=study.last_at,
                        )
                    )
                    new += 1
        return new

    def _lines(self, state: ReadingState) -> list[WorklistLine]:
        with self._database.reading() as session:
            return list(
                session.scalars(
                    select(WorklistLine).where(WorklistLine.state == state).order_by(WorklistLine.arrived_at)
                )
            )

    def _read(self, line: WorklistLine, study: ClinicalStudy) -> None:
        with self._database.reading() as session:
            deployment = session.get_one(Deployment, line.deployment)
        if deployment.suspended_at is not None:
            return  # since this tick began; the next one ends what waits
        package = self._deployments.package(deployment.model)
        try:
            reading = self._worker.call(
                reader.read, package, deployment.model, deployment.stage, list(study.files), self._threads
            )
        except reader.StudyUnreadable as error:
            self._settle(line, ReadingState.FAILED, reason=error.code)
            return
        except WorkerDied:
            self._retry(line, "reading-process-died")
            return
        except Exception as error:
            # Whatever a study's files made the reading process raise, it holds up no other study.
            _log.error("a study could not be read: %s", type(error).__name__)
            self._retry(line, "reading-failed")
            return
        stem = f"{line.study}-{line.version}-{line.deployment}"
        kept = self._shelf.put(stem, deployment.stage, reading.documents)
        with self._database.writing() as session:
            row = _step(session, line, ReadingState.READ)
            if row is None:
                self._shelf.drop(kept)
                return
            row.finding, row.volume_ml, row.contrast = reading.finding, reading.volume_ml, reading.contrast
            row.result, row.result_uid, row.read_at = kept[0].file, reading.sop_instance_uid, self._clock()
            row.attempts = 0
            self._shelf.enlist(session, row.id, kept, row.read_at)
            audit.record(session, "program", "read-study", line.study, f"deployment {line.deployment}")

    def _retry(self, line: WorklistLine, reason: str) -> None:
        if line.attempts + 1 >= ATTEMPTS:
            self._settle(line, ReadingState.FAILED, reason=reason)
            return
        with self._database.writing() as session:
            session.get_one(WorklistLine, line.id).attempts += 1

    def _settle(self, line: WorklistLine, state: ReadingState, *, reason: str) -> None:
        with self._database.writing() as session:
            row = _step(session, line, state)
            if row is not None:
                row.reason = reason
                audit.record(session, "program", "fail-study", line.study, reason)


def _step(session: Session, line: WorklistLine, state: ReadingState) -> WorklistLine | None:
    """The line's row in its new state; None where a person has ended it since `line` was read."""
    row = session.get_one(WorklistLine, line.id)
    if row.state != line.state:
        return None
    check_transition(ReadingState(row.state), state)
    row.state = state
    return row
