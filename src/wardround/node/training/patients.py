"""Where a project bounds what it tells of a patient: each lesson is paid for before it is learned, and guarded."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from typing import TYPE_CHECKING

from wardround.compute.worker import Worker
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.stored import Held, digest_of
from wardround.learning.accounting import epsilon_of
from wardround.learning.bundle import read_bundle
from wardround.learning.split import HELD_OUT_SHARE
from wardround.node.budget.actions import charge, settle
from wardround.node.training.assignment import Assignment

if TYPE_CHECKING:
    from wardround.learning.guard import Guard


class PatientBudget:
    """This node's purse for the patients of all projects; does nothing for one that doesn't bound what it tells.

    Args:
        worker: the learning process, which alone has the accountant's library.
    """

    def __init__(self, database: Database, worker: Worker, clock: Clock) -> None:
        self._database = database
        self._worker = worker
        self._clock = clock

    def pay(self, assignment: Assignment, project: str, run: str, round_number: int, arrays: Held, own: bytes) -> None:
        """Pay for a round before it is learned. Raises `NotAllowed`, see `wardround.node.budget.actions.charge`."""
        budget = assignment.terms.patient_privacy
        if budget is None:
            return
        charge(
            self._database,
            project,
            _lesson(assignment, run, round_number, arrays, own),
            budget,
            steps=_steps(assignment),
            run=run,
            round_number=round_number,
            epsilon_of=lambda spent, delta: self._worker.call(epsilon_of, spent, delta),
            at=self._clock(),
        )

    def settle(
        self, assignment: Assignment, run: str, round_number: int, arrays: Held, own: bytes, update: str
    ) -> None:
        """Hold a round that was paid for to one update. Raises `NotAllowed`, see `wardround.node.budget.actions`."""
        if assignment.terms.patient_privacy is None:
            return
        with self._database.writing() as session:
            settle(session, _lesson(assignment, run, round_number, arrays, own), update)


def guard_of(assignment: Assignment, arrays: Held, own: bytes, key: bytes) -> Guard | None:
    """How a round is kept from telling much of a patient, in the learning process; None where nothing was agreed.

    Args:
        key: the round's secret.
    """
    privacy = assignment.terms.patient_privacy
    if privacy is None:
        return None
    from wardround.learning.guard import Guard

    # The size that is told on the ledger, and not how many there are.
    expected = max(1.0, privacy.sample_rate * (1 - HELD_OUT_SHARE) * assignment.weight)
    seed = hmac.digest(key, b"wardround guard v1 " + _learned_from(assignment, arrays, own).encode(), "sha256")
    return Guard(privacy, expected, seed)


def _steps(assignment: Assignment) -> int:
    plan = assignment.plan
    if plan.local_steps is not None:
        return plan.local_steps
    return read_bundle(assignment.folder).setting(plan.setting).local_steps


def _lesson(assignment: Assignment, run: str, round_number: int, arrays: Held, own: bytes) -> str:
    told = f"wardround lesson v1 {run} {round_number} {_learned_from(assignment, arrays, own)}"
    return sha256(told.encode()).hexdigest()


def _learned_from(assignment: Assignment, arrays: Held, own: bytes) -> str:
    told = {
        "site": assignment.site,
        "plan": assignment.plan.content_digest(),
        "terms": assignment.terms.model_dump(mode="json"),
        "manifest": assignment.manifest,
        "cases": [[case.name, case.case] for case in assignment.cohort.cases],
        "arrays": digest_of(arrays),
        "own": sha256(own).hexdigest(),
    }
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
