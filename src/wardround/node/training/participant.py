"""This hospital's part in a leg: put the use on the ledger, judge the aggregate, train, let the update leave."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from wardround.compute.worker import Worker, WorkerDied
from wardround.contracts.ledger_entry import Update
from wardround.contracts.outbound import RunUpdate
from wardround.federation.engine import Declined, RoundTask, RoundUpdate
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.foundation.files import disk_full
from wardround.node import audit
from wardround.node.gateway.gateway import Gateway
from wardround.node.record.entries import SiteEntries
from wardround.node.training import learner
from wardround.node.training.assignment import Assignment, Assignments, ManifestNotSettled
from wardround.node.training.checkpoint import RunNotes
from wardround.node.training.masking import NOT_THE_PLAN, Masks
from wardround.node.training.own import OwnArrays
from wardround.node.training.patients import PatientBudget
from wardround.node.training.tables import RoundDone
from wardround.node.training.uses import Uses

_log = logging.getLogger(__name__)

BEGUN_ANEW = "begin-own-anew"
"""The audit's word for a round whose own arrays were gone."""


class NodeParticipant:
    """Implements `wardround.federation.engine.Participant` over this node's own approvals and data."""

    def __init__(
        self,
        assignments: Assignments,
        uses: Uses,
        worker: Worker,
        entries: SiteEntries,
        gateway: Gateway,
        database: Database,
        own: OwnArrays,
        clock: Clock,
        notes: Callable[[str], RunNotes],
    ) -> None:
        self._notes = notes
        self._own = own
        self._assignments = assignments
        self._uses = uses
        self._worker = worker
        self._entries = entries
        self._gateway = gateway
        self._database = database
        self._clock = clock
        self._patients = PatientBudget(database, worker, clock)
        self._masks = Masks(assignments, entries, gateway, database, clock)
        self._lock = threading.Lock()
        self._at_work: set[str] = set()
        self._given_up: set[str] = set()
        self._learning: list[str] = []
        self._stops = 0

    def take_part(self, task: RoundTask) -> RoundUpdate:
        with self._lock:
            self._at_work.add(task.leg_id)
        try:
            return self._take_part(task)
        except (OSError, OperationalError) as error:
            if not disk_full(error):
                raise
            _log.error("round %s of %s: this node's disk is full; make room", task.round, task.run_id)
            raise Declined("disk-full") from error
        finally:
            with self._lock:
                self._at_work.discard(task.leg_id)
                self._given_up.discard(task.leg_id)

    def _take_part(self, task: RoundTask) -> RoundUpdate:
        project, edition = str(task.plan.get("project")), str(task.plan.get("project_digest"))
        if task.update_kind != "delta":
            raise Declined(NOT_THE_PLAN)
        if task.step in ("share", "confirm", "reveal"):
            return self._masks.answer(task)
        try:
            self._assignments.check_round(project, edition, task.round, task.total_rounds)
            assignment = self._assignments.begin(project, edition, task.run_id)
        except (NotAllowed, ManifestNotSettled) as error:
            raise Declined(error.code) from error
        self._masks.check_plan(task, assignment)
        if task.step == "advertise":
            return self._masks.advertise(task, project, edition, assignment)
        asked = task
        if task.step == "input":
            task = replace(task, arrays=self._masks.weights(task))
        own = self._own.before(task.run_id, task.round)
        try:
            self._patients.pay(assignment, project, task.run_id, task.round, task.arrays, own)
        except WorkerDied as error:
            raise Declined("learning-process-died") from error
        except NotAllowed as error:
            _log.warning("project %s: %s", project, error)
            raise Declined(error.code) from error
        try:
            use = self._uses.training(task.run_id, task.round, assignment.manifest)
        except WardroundError as error:
            _log.warning("round %s of %s: its use isn't on the ledger: %s", task.round, task.run_id, error.code)
            raise Declined(error.code) from error
        try:
            lesson = self._learn(assignment, task, own)
        except WorkerDied as error:
            raise Declined("learning-process-died") from error
        except learner.LessonRefused as error:
            _log.warning("round %s of %s: %s", task.round, task.run_id, error)
            raise Declined(error.code) from error
        self._check_wanted(task.leg_id)
        if lesson.own:
            if not own:
                self._tell_if_begun_anew(task)
            # On the disk before the update leaves: the hub may go on from a round only if this site can.
            self._own.keep(task.run_id, task.round, lesson.own)
        try:
            self._patients.settle(assignment, task.run_id, task.round, task.arrays, own, lesson.digest)
            left = self._masks.masked(asked, lesson) if task.step else lesson
            self._assignments.release(
                project,
                edition,
                "run-update",
                run=task.run_id,
                round_number=task.round,
                # As it was before it was masked: what is done again has other masks, and counts once.
                content=lesson.digest,
                size=len(left.update),
            )
            return self._release(project, assignment, task, left, use)
        except WardroundError as error:
            _log.warning("round %s of %s: the update could not leave: %s", task.round, task.run_id, error.code)
            raise Declined(error.code) from error

    def _tell_if_begun_anew(self, task: RoundTask) -> None:
        """What this hospital keeps of a run for itself began anew, though it had taken part before: an erasure removed
        it, or somebody did. On the record here, and told to nobody else, whom it would tell of the erasure."""
        with self._database.writing() as session:
            before = select(RoundDone.id).where(RoundDone.run == task.run_id, RoundDone.round < task.round)
            if session.scalar(before.limit(1)) is not None:
                audit.record(session, "program", BEGUN_ANEW, task.run_id, f"round {task.round}", clock=self._clock)
                _log.warning(
                    "round %s of %s: %s: what was kept here of its earlier rounds is gone, as after an erasure; this "
                    "hospital's own layers, variates or personal model begin as the run began",
                    task.round,
                    task.run_id,
                    BEGUN_ANEW,
                )

    def _learn(self, assignment: Assignment, task: RoundTask, own: bytes) -> learner.Lesson:
        key = self._assignments.noise_key(task.run_id, task.round)
        with self._lock:
            self._learning.append(task.leg_id)
        try:
            while True:
                self._check_wanted(task.leg_id)
                notes, stops = self._notes(task.run_id), self._stops
                try:
                    return self._worker.call(
                        learner.learn, assignment, task.arrays, task.round, task.total_rounds, key, own, notes
                    )
                except WorkerDied:
                    # Of two runs at once one waits for the other's lesson: what ends that doesn't cost it its turn.
                    with self._lock:
                        if stops == self._stops or task.leg_id in self._given_up:
                            raise
        finally:
            with self._lock:
                self._learning.remove(task.leg_id)

    def _check_wanted(self, leg_id: str) -> None:
        """What nobody waits for any more isn't begun, and doesn't use up what may leave."""
        with self._lock:
            if leg_id in self._given_up:
                raise Declined("leg-given-up")

    def _release(
        self, project: str, assignment: Assignment, task: RoundTask, lesson: learner.Lesson, use: int
    ) -> RoundUpdate:
        """Ledger first, then the gateway's log, and only then the engine."""
        entry = Update(
            origin=self._entries.site,
            at=self._clock(),
            run=task.run_id,
            round=task.round,
            digest=lesson.digest,
            manifest=assignment.manifest,
            use=use,
            steps=lesson.steps,
        )
        index = self._entries.put(entry)
        weight = float(assignment.weight)
        # How good a round is would tell of the held-out patients beyond what was agreed of any.
        metrics = {} if assignment.terms.patient_privacy is not None else lesson.metrics
        message = RunUpdate(
            project=project,
            run=task.run_id,
            round=task.round,
            digest=lesson.digest,
            entry=index,
            weight=weight,
            metrics=metrics,
        )
        self._gateway.record(message, len(lesson.update))
        with self._database.writing() as session:
            # A leg that died may have the round done again from the same weights, which gives the same bytes.
            done = session.scalar(
                select(RoundDone).where(
                    RoundDone.run == task.run_id, RoundDone.round == task.round, RoundDone.digest == lesson.digest
                )
            )
            if done is None:
                done = RoundDone(run=task.run_id, round=task.round, digest=lesson.digest)
                session.add(done)
            done.entry, done.steps, done.loss = index, lesson.steps, lesson.loss
            done.metric, done.score = lesson.metric, lesson.score
            done.done_at = self._clock()
            audit.record(session, "program", "release-update", task.run_id, f"round {task.round} entry {index}")
        return RoundUpdate(weight=weight, metrics=metrics, steps=lesson.steps, ledger_index=index, update=lesson.update)

    def finish(self, leg_id: str, reason: str) -> None:
        _log.info("leg %s finished: %s", leg_id, reason)
        self._masks.drop(leg_id)

    def abort(self, leg_id: str, reason: str) -> None:
        """Stop what this leg does here. News of a leg that died may come when the next one, or another run, is at
        work: that goes on."""
        _log.warning("leg %s was given up: %s", leg_id, reason)
        self._masks.drop(leg_id)
        with self._lock:
            if leg_id in self._at_work:
                self._given_up.add(leg_id)
            # The process does one lesson at a time, in their order. With the lock held no other begins meanwhile.
            if self._learning[:1] == [leg_id]:
                self._stops += 1
                self._worker.stop()
