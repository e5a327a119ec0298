"""The cohort is read while the engine connects, so that the first round doesn't wait for it."""

from __future__ import annotations

import logging

from wardround.compute.worker import Worker
from wardround.foundation.errors import WardroundError
from wardround.node.training import learner
from wardround.node.training.assignment import Assignment
from wardround.node.training.uses import Uses

_log = logging.getLogger(__name__)


class Preparation:
    """Has the learning process load a run's cohort, once that use is on the ledger; without it, nothing is read and
    the first round loads the cohort itself."""

    def __init__(self, uses: Uses, worker: Worker) -> None:
        self._uses = uses
        self._worker = worker

    def __call__(self, run: str, assignment: Assignment) -> None:
        try:
            self._uses.preparation(run, assignment.manifest)
        except WardroundError as error:
            _log.info("the cohort of run %s isn't made ready before its first round: %s", run, error.code)
            return
        self._worker.submit(learner.prepare, assignment)
