"""After a run: train the same model alone, and judge models on the patients held out here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import ParamSpec, TypeVar

from sqlalchemy import select

from wardround.compute.worker import Worker
from wardround.contracts.algorithm import Merge, Scaffold
from wardround.contracts.evidence import OfflineValidation
from wardround.contracts.ledger_entry import Update, alone_run
from wardround.contracts.outbound import EvaluationResult, LocalModel, ObjectRequest
from wardround.contracts.task import EstimateStatistics, EvaluateModel, TrainAlone
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.foundation.files import ObjectStore
from wardround.learning.metrics import over
from wardround.node.cohort.disclosure import Discloser
from wardround.node.evidence.shelf import entry_of, keep
from wardround.node.gateway.gateway import Gateway
from wardround.node.record.entries import SiteEntries
from wardround.node.training import learner
from wardround.node.training.assignment import Assignments
from wardround.node.training.checkpoint import RunNotes
from wardround.node.training.own import OwnArrays
from wardround.node.training.tables import Judgement
from wardround.node.training.uses import Uses

_log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


class Comparison:
    """Does the tasks `TrainAlone`, `EstimateStatistics` and `EvaluateModel`. Each may be asked again; the answer is the
    same.

    Raises, from each: `NotAllowed` where this hospital hasn't approved or the answer may not leave, before any data are
    read; `LessonRefused` where the cohort can't be learned from, `HubUnreachable` where the answer has to wait,
    `WorkerDied` where the learning process ended.
    """

    def __init__(
        self,
        assignments: Assignments,
        uses: Uses,
        worker: Worker,
        entries: SiteEntries,
        gateway: Gateway,
        database: Database,
        models: ObjectStore,
        discloser: Discloser,
        own: OwnArrays,
        clock: Clock,
        notes: Callable[[str], RunNotes],
    ) -> None:
        self._notes = notes
        self._own = own
        self._discloser = discloser
        self._assignments = assignments
        self._uses = uses
        self._worker = worker
        self._entries = entries
        self._gateway = gateway
        self._database = database
        self._models = models
        self._clock = clock

    def train_alone(self, task: TrainAlone) -> None:
        assignment = self._assignments.begin(task.project, task.project_digest, task.run)
        if assignment.terms.leaving("local-model") is None:
            raise NotAllowed("no model that is trained here alone may leave", code="message-not-approved")
        alone = alone_run(task.run)
        use = self._uses.training(alone, 1, assignment.manifest)
        rounds, notes = min(task.rounds, assignment.terms.rounds), self._notes(task.run)
        lesson = self._learned(task.run, learner.learn_alone, assignment, rounds, notes)
        self._send(task, assignment.manifest, use, alone, 1, lesson.update, steps=lesson.steps)

    def estimate(self, task: EstimateStatistics) -> None:
        """Tell a merged model's statistics; they leave as a model that was trained here does, and count as one."""
        assignment = self._assignments.begin(task.project, task.project_digest, task.run)
        if not isinstance(assignment.plan.algorithm, Merge):
            raise NotAllowed("the plan that was approved merges nothing", code="not-the-approved-plan")
        if assignment.terms.leaving("local-model") is None:
            raise NotAllowed("no model that is trained here alone may leave", code="message-not-approved")
        weights = self.fetch(task.model)
        alone, number = alone_run(task.run), 1 + task.merge
        use = self._uses.training(alone, number, assignment.manifest)
        found = self._learned(task.run, learner.estimate, assignment, weights)
        self._send(task, assignment.manifest, use, alone, number, found, steps=0, statistics_of=task.model)

    def _send(
        self,
        task: TrainAlone | EstimateStatistics,
        manifest: int,
        use: int,
        run: str,
        round_number: int,
        arrays: bytes,
        *,
        steps: int,
        statistics_of: str | None = None,
    ) -> None:
        """Let what was made here alone leave, if the approval has room for it: counted, on the ledger, then sent."""
        digest = sha256(arrays).hexdigest()
        self._assignments.release(
            task.project, task.project_digest, "local-model", run=task.run, content=digest, size=len(arrays)
        )
        self._models.put(arrays)
        index = self._entries.put(
            Update(
                origin=self._entries.site,
                at=self._clock(),
                run=run,
                round=round_number,
                digest=digest,
                manifest=manifest,
                use=use,
                steps=steps,
            )
        )
        message = LocalModel(
            project=task.project, run=task.run, digest=digest, steps=steps, statistics_of=statistics_of, entry=index
        )
        self._gateway.send(message, arrays)

    def evaluate(self, task: EvaluateModel) -> None:
        assignment = self._assignments.begin(task.project, task.project_digest, task.run)
        if assignment.terms.leaving("evaluation-result") is None:
            raise NotAllowed("no judgement of a model may leave", code="message-not-approved")
        weights = self.fetch(task.model)
        use = self._uses.judging(task.run, task.model, assignment.manifest)
        own = self._own.before(task.run, task.round + 1) if task.round else b""
        personal = task.label == "personal"
        judged = self._learned(task.run, learner.judge, assignment, weights, own, personal, task.membership)
        self._check_tellable(task, judged)
        if own and not isinstance(assignment.plan.algorithm, Scaffold):  # variates are of use to the run alone
            self._own.settle(task.run, task.model, own)
        record = OfflineValidation(
            run=task.run,
            label=task.label,
            model=task.model,
            pathway=assignment.plan.package,
            metric=judged.metric,
            outcomes=judged.outcomes,
        )
        message = EvaluationResult(
            project=task.project,
            run=task.run,
            model=task.model,
            label=task.label,
            metric=judged.metric,
            score=over(judged.metric, judged.outcomes),
            patients=self._discloser.people(self._assignments.patients(task.project, judged.outcomes)),
            membership=judged.membership,
            entry=0,
        )
        self._assignments.release(
            task.project,
            task.project_digest,
            "evaluation-result",
            run=task.run,
            content=message.content_digest(),
            size=len(message.canonical()),
        )
        at = self._clock()
        index = self._entries.put(entry_of(record, "offline", self._entries.site, at, use))
        with self._database.writing() as session:
            keep(session, record, at=at, actor="program", entry=index)
            kept = session.scalar(
                select(Judgement).where(
                    Judgement.run == task.run, Judgement.label == task.label, Judgement.model == task.model
                )
            )
            if kept is None:
                kept = Judgement(run=task.run, label=task.label, model=task.model)
                session.add(kept)
            kept.metric, kept.outcomes = judged.metric, {name: list(one) for name, one in judged.outcomes.items()}
            kept.training, kept.judged_at = judged.training, at
        self._gateway.send(message.model_copy(update={"entry": index}))

    def _check_tellable(self, task: EvaluateModel, judged: learner.Judged) -> None:
        """Of too few people nothing is told of whom a model was trained on."""
        if not task.membership:
            return
        if self._discloser.people(self._assignments.patients(task.project, judged.tested)).about is None:
            raise NotAllowed("too few people were trained on and held out here", code="too-few-people")
        if judged.membership is None:
            raise NotAllowed(f"{judged.metric} can't tell how a model does on one patient", code="not-testable")

    def _learned(self, run: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Worker.call`; why a cohort can't be learned from is in this node's log, and nowhere else."""
        try:
            return self._worker.call(function, *args, **kwargs)
        except learner.LessonRefused as error:
            _log.warning("after run %s: %s", run, error)
            raise

    def fetch(self, digest: str) -> bytes:
        """A model's weights by their digest, from this node or from the hub.

        Raises:
            WardroundError: `model-differs`, what the hub sent isn't what its digest says.
        """
        if self._models.has(digest):
            return self._models.get(digest)
        _, weights = self._gateway.send(ObjectRequest(digest=digest))
        if sha256(weights).hexdigest() != digest:
            raise WardroundError("the hub sent another model than was asked for", code="model-differs")
        self._models.put(weights)
        return weights
