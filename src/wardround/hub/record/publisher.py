"""Signs a checkpoint whenever the ledger grew, and asks every site to witness it."""

from __future__ import annotations

from sqlalchemy import select

from wardround.contracts.task import WitnessCheckpoint
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.hub.sites.queries import members
from wardround.hub.tasks.actions import enqueue
from wardround.hub.tasks.tables import QueuedTask
from wardround.ledger import tables
from wardround.ledger.log import Log


class Publisher:
    """`tick` is one step of the hub's loop."""

    def __init__(self, database: Database, log: Log, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._clock = clock

    def tick(self) -> int | None:
        """Sign a checkpoint if there is something new; returns its size, or None.

        A site that hasn't reported on an earlier request isn't asked again: it will mirror up to the newest anyway.
        """
        with self._database.reading() as session:
            size = self._log.size(session)
            if size == 0 or session.scalar(select(tables.checkpoints.c.size).where(tables.checkpoints.c.size == size)):
                return None
        with self._database.writing() as session:
            at = self._clock()
            size = self._log.size(session)
            self._log.checkpoint(session, at)
            busy = set(
                session.scalars(
                    select(QueuedTask.site).where(QueuedTask.kind == "witness-checkpoint", QueuedTask.state == "queued")
                )
            )
            for site in members(session):
                if site not in busy:
                    enqueue(session, site, WitnessCheckpoint(size=size), now=at)
        return size
