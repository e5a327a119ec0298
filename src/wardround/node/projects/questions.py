"""What this node does with the hub's proposals."""

from __future__ import annotations

from wardround.contracts.task import ConsiderProject, WithdrawProject
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.projects import actions
from wardround.node.record.entries import SiteEntries


class Questions:
    """Does the tasks `ConsiderProject` and `WithdrawProject`."""

    def __init__(self, database: Database, entries: SiteEntries, clock: Clock) -> None:
        self._database = database
        self._entries = entries
        self._clock = clock

    def consider(self, task: ConsiderProject) -> None:
        """Put the project before the data controller."""
        with self._database.writing() as session:
            actions.consider(session, task.project, at=self._clock())

    def withdraw(self, task: WithdrawProject) -> None:
        """The project is over for everybody: stop using data for it, and say so on the ledger."""
        with self._database.writing() as session:
            actions.close(session, task.project, self._entries, at=self._clock())
