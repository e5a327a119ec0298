"""The clinical loop: each complete study is read by each model in use, and what that gives is kept to be sent."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy.orm import Session

from wardround.compute.worker import Worker, WorkerDied, WorkerTooSlow
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.learning.bundle import BundleRefused
from wardround.node import audit
from wardround.node.clinic import reader
from wardround.node.clinic.definition import Definition
from wardround.node.clinic.deployment import Deployments, active, check_names
from wardround.node.clinic.own_layers import MISSING
from wardround.node.clinic.prior import PriorFound
from wardround.node.clinic.queue import Queue
from wardround.node.clinic.readiness import Readiness, Serving
from wardround.node.clinic.states import ReadingState, check_transition
from wardround.node.clinic.suspension import end_suspended, suspend, waiting_for_suspended
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.receive.clinical import ClinicalStudy
from wardround.node.report.shelf import Kept, Shelf
from wardround.node.training.own import SealedArrays

_log = logging.getLogger(__name__)


class Pathway:
    """`tick` takes every step that is due; a study that fails holds up no other.

    Args:
        worker: reads.
        preparing: makes what a model needs before it reads.
        queue: the studies that wait.
        shelf: where results are kept until they are sent (`wardround.node.report`).
    """

    def __init__(
        self,
        database: Database,
        deployments: Deployments,
        worker: Worker,
        preparing: Worker,
        queue: Queue,
        shelf: Shelf,
        clock: Clock,
        *,
        threads: int = 1,
    ) -> None:
        self._database = database
        self._deployments = deployments
        self._worker = worker
        self._queue = queue
        self._shelf = shelf
        self._clock = clock
        self._threads = threads
        self._readiness = Readiness(database, deployments, preparing, worker, clock, threads)
        self._troubles: dict[str, str] = {}

    def tick(self) -> int:
        """Enlist new studies and read those that wait, the most urgent first; returns how many steps were taken.

        Before each reading it is looked what came meanwhile, so that an emergency waits for one reading at most.
        """
        steps = self._end_suspended() + self._queue.overdue()
        passed: set[int] = set()
        while True:
            serving = self._serving()
            ready = self._readiness.of(serving)
            steps += self._queue.enlist(serving)
            line = self._queue.next(ready, passed)
            if line is None:
                return steps
            passed.add(line.id)
            steps += self._take(line, *ready[line.deployment])

    def _serving(self) -> Serving:
        """The models in use whose pathway's file can be used and names them, and whose code the policy lets run; of the
        others nothing is read. One whose layers of this hospital's own were removed goes out of use."""
        with self._database.reading() as session:
            in_use = active(session)
        found: Serving = {}
        for deployment in in_use:
            try:
                definition = self._deployments.definitions.of(deployment.pathway)
                check_names(definition, deployment.pathway, deployment.model)
                self._deployments.check_code(deployment.model)
                self._deployments.own_layers(deployment.model)
            except (WardroundError, BundleRefused) as error:
                code = error.reason if isinstance(error, BundleRefused) else error.code
                if code == MISSING:
                    self._bereft(deployment)
                    continue
                if self._troubles.get(deployment.pathway) != code:
                    self._troubles[deployment.pathway] = code
                    _log.error("nothing is read on pathway %s: %s", deployment.pathway, code)
                continue
            self._troubles.pop(deployment.pathway, None)
            found[deployment.id] = (deployment, definition)
        return found

    def _bereft(self, deployment: Deployment) -> None:
        """An erasure took what this hospital lays over the model: suspend it, and end the process that still has that
        in memory."""
        with self._database.writing() as session:
            if session.get_one(Deployment, deployment.id).active:
                entries, at = self._deployments.entries, self._clock()
                suspend(session, deployment.pathway, MISSING, entries, actor="program", at=at)
        self._worker.stop()
        self._readiness.begin_anew()
        _log.warning("model %s is out of use on %s: %s", deployment.model[:12], deployment.pathway, MISSING)

    def _end_suspended(self) -> int:
        """End what waits for a model that a person suspended: what was enlisted while they did."""
        with self._database.reading() as session:
            if session.execute(waiting_for_suspended()).first() is None:
                return 0
        with self._database.writing() as session:
            return end_suspended(session)

    def _placed(self, deployment: Deployment) -> tuple[Path, SealedArrays | None]:
        model = deployment.model
        return self._deployments.package(model), self._deployments.own_layers(model)

    def _take(self, line: WorklistLine, deployment: Deployment, definition: Definition) -> int:
        """Take one study from the queue; how many steps that was."""
        with self._database.reading() as session:
            if not session.get_one(Deployment, deployment.id).active:
                return 0  # since it was looked what is in use; the next tick ends what waits
        study = self._queue.study(line)
        if study is None:
            return 0
        if study.version > line.version:
            self._settle(line, ReadingState.FAILED, "newer-version")
        else:
            self._read(line, study, deployment, definition)
        return 1

    def _read(self, line: WorklistLine, study: ClinicalStudy, deployment: Deployment, definition: Definition) -> None:
        stage, runtime, files = deployment.stage, definition.runtime, list(study.files)
        try:
            package, own = self._placed(deployment)
            prior = self._queue.prior(study, definition)
            reading = self._worker.call_within(
                runtime.seconds,
                reader.read,
                package,
                deployment.model,
                stage,
                files,
                self._threads,
                definition,
                own,
                prior,
            )
        except reader.OutOfScope as error:
            self._settle(line, ReadingState.OUT_OF_SCOPE, error.code, finding=error.words[:200])
            return
        except (reader.StudyUnreadable, NotAllowed) as error:
            self._settle(line, ReadingState.FAILED, error.code)
            return
        except WorkerDied as error:
            slow = isinstance(error, WorkerTooSlow)
            self._retry(line, "reading-too-slow" if slow else "reading-process-died", runtime.attempts)
            return
        except Exception as error:
            # Whatever a study's files made the reading process raise, it holds up no other study.
            _log.error("a study could not be read: %s", type(error).__name__)
            self._retry(line, "reading-failed", runtime.attempts)
            return
        self._keep(line, stage, definition, reading, prior)

    def _keep(
        self, line: WorklistLine, stage: str, definition: Definition, reading: reader.Reading, prior: PriorFound | None
    ) -> None:
        leaves = definition.output.to == "pacs" and self._shelf.leaves(stage)
        documents = reading.documents if leaves else reading.documents[:1]
        kept: list[Kept] = self._shelf.put(f"{line.study}-{line.version}-{line.deployment}", stage, documents)
        state = ReadingState.READ if kept and leaves else ReadingState.KEPT
        with self._database.writing() as session:
            row = _step(session, line, state)
            if row is None:
                self._shelf.drop(kept)
                return
            row.finding = definition.output.in_words(reading.value, reading.before)
            row.volume_ml, row.contrast, row.value = reading.volume_ml, reading.contrast, reading.value
            row.image = None if reading.image is None else list(reading.image)
            row.flagged, row.read_as = definition.output.flags(reading.value), stage
            row.result, row.result_uid = kept[0].file if kept else None, reading.sop_instance_uid
            row.read_at, row.attempts = self._clock(), 0
            if definition.prior is not None:
                beside = prior if reading.before is not None else None
                row.prior, row.prior_days = ("", None) if beside is None else (beside.study, beside.days)
            if state is ReadingState.READ:
                self._shelf.enlist(session, row.id, kept, row.read_at)
            audit.record(session, "program", "read-study", line.study, f"deployment {line.deployment}")

    def _retry(self, line: WorklistLine, reason: str, attempts: int) -> None:
        if line.attempts + 1 >= attempts:
            self._settle(line, ReadingState.FAILED, reason)
            return
        with self._database.writing() as session:
            session.get_one(WorklistLine, line.id).attempts += 1

    def _settle(self, line: WorklistLine, state: ReadingState, reason: str, *, finding: str = "") -> None:
        with self._database.writing() as session:
            row = _step(session, line, state)
            if row is not None:
                row.reason, row.finding = reason, finding
                verb = "fail-study" if state is ReadingState.FAILED else "leave-unread"
                audit.record(session, "program", verb, line.study, reason)


def _step(session: Session, line: WorklistLine, state: ReadingState) -> WorklistLine | None:
    """The line's row in its new state; None where a person has ended it since `line` was read."""
    row = session.get_one(WorklistLine, line.id)
    if row.state != line.state:
        return None
    check_transition(ReadingState(row.state), state)
    row.state = state
    return row
