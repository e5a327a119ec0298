"""What this node does with the hub's proposals."""

from __future__ import annotations

from wardround.contracts.task import ConsiderProject
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.projects import actions


class Questions:
    """Does the task `ConsiderProject`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def consider(self, task: ConsiderProject) -> None:
        """Put the project before the data controller."""
        with self._database.writing() as session:
            actions.consider(session, task.project, at=self._clock())
