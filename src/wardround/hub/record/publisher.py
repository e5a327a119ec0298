"""Signs a checkpoint whenever the ledger grew, asks every site to witness it, and shares the cosignatures."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.task import WitnessCheckpoint
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.hub.sites.queries import members
from wardround.hub.tasks.actions import enqueue
from wardround.hub.tasks.tables import QueuedTask
from wardround.ledger import tables
from wardround.ledger.log import Log
from wardround.ledger.quorum import is_quorum

SHARED_AFTER = timedelta(seconds=2)
"""How long a quorum's cosignatures wait for those of the other sites before they are shared with all."""


class Publisher:
    """`tick` is one step of the hub's loop."""

    def __init__(self, database: Database, log: Log, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._seen: tuple[int, int] = (0, 0)
        self._seen_at = clock()
        self._shared: tuple[int, int] = (0, 0)

    def tick(self) -> int | None:
        """Sign a checkpoint if there is something new, else share what cosignatures came; returns its size, or None.

        A site that hasn't reported on an earlier request isn't asked again: it will mirror up to the newest anyway.
        """
        with self._database.reading() as session:
            size = self._log.size(session)
            if size == 0:
                return None
            signed = session.scalar(select(tables.checkpoints.c.size).where(tables.checkpoints.c.size == size))
            cosigned = (size, len(self._log.cosigned(session, size)))
            wanted = len(members(session))
        if signed is None:
            with self._database.writing() as session:
                size = self._log.size(session)
                self._log.checkpoint(session, self._clock())
                self._ask(session, size)
            return size
        if self._is_due(cosigned, wanted):
            with self._database.writing() as session:
                self._ask(session, size)
            self._shared = cosigned
            return size
        return None

    def _is_due(self, cosigned: tuple[int, int], wanted: int) -> bool:
        """Whether the sites should fetch the checkpoint again to see each other's cosignatures on it."""
        if cosigned != self._seen:
            self._seen, self._seen_at = cosigned, self._clock()
        if cosigned == self._shared or not is_quorum(cosigned[1], wanted):
            return False
        return cosigned[1] >= wanted or self._clock() - self._seen_at >= SHARED_AFTER

    def _ask(self, session: Session, size: int) -> None:
        busy = set(
            session.scalars(
                select(QueuedTask.site).where(QueuedTask.kind == "witness-checkpoint", QueuedTask.state == "queued")
            )
        )
        for site in members(session):
            if site not in busy:
                enqueue(session, site, WitnessCheckpoint(size=size), now=self._clock())
