"""What this node does with the hub's questions and proposals."""

from __future__ import annotations

from wardround.contracts.disclosure import disclosed
from wardround.contracts.outbound import CohortAnswer
from wardround.contracts.task import ConsiderProject, CountCohort
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.enclave.enclave import Enclave
from wardround.node.gateway.gateway import Gateway
from wardround.node.projects import actions


class Questions:
    """Does the tasks `CountCohort` and `ConsiderProject`."""

    def __init__(self, database: Database, enclave: Enclave, gateway: Gateway, clock: Clock) -> None:
        self._database = database
        self._enclave = enclave
        self._gateway = gateway
        self._clock = clock

    def count(self, task: CountCohort) -> None:
        """Count distinct people here and tell the number as any count is told."""
        question = task.question.content_digest()
        people = disclosed(self._enclave.count(task.question))
        with self._database.writing() as session:
            audit.record(session, "program", "answer-count", task.project, question)
        self._gateway.send(CohortAnswer(project=task.project, question=question, people=people))

    def consider(self, task: ConsiderProject) -> None:
        """Put the project before the data controller."""
        with self._database.writing() as session:
            actions.consider(session, task.project, at=self._clock())
