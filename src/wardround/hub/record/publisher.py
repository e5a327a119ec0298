"""Signs a checkpoint whenever the ledger grew, asks every site to witness it, and shares the cosignatures."""

from __future__ import annotations

from datetime import datetime, timedelta

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

ASKED_AGAIN_AFTER = timedelta(seconds=2)
"""How long a site that lacks something isn't reminded, once it has nothing of the kind in its queue."""


class Publisher:
    """`tick` is one step of the hub's loop."""

    def __init__(self, database: Database, log: Log, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._asked: dict[str, tuple[tuple[int, int], datetime]] = {}

    def tick(self) -> int | None:
        """Sign a checkpoint if there is something new, and ask the sites that lack something of the newest one.

        A site lacks something while it hasn't cosigned the newest checkpoint, and then until it was asked once more
        with the cosignatures of all who signed, so that it knows a quorum too. Returns the size that sites were
        asked about, or None if none was.
        """
        with self._database.reading() as session:
            size = self._log.size(session)
            if size == 0:
                return None
            signed = session.scalar(select(tables.checkpoints.c.size).where(tables.checkpoints.c.size == size))
            lacking = self._lacking(session, size)
        if signed is not None and not lacking:
            return None
        with self._database.writing() as session:
            size = self._log.size(session)
            self._log.checkpoint(session, self._clock())
            state = (size, len(self._log.cosigned(session, size)))
            lacking = self._lacking(session, size)
            for site in lacking:
                enqueue(session, site, WitnessCheckpoint(size=size), now=self._clock())
        self._asked |= dict.fromkeys(lacking, (state, self._clock()))
        return size

    def _lacking(self, session: Session, size: int) -> list[str]:
        wanted = members(session)
        cosigned = self._log.cosigned(session, size)
        settled = self._log.settled(session) >= size
        busy = set(
            session.scalars(
                select(QueuedTask.site).where(QueuedTask.kind == "witness-checkpoint", QueuedTask.state == "queued")
            )
        )
        return [
            site for site in wanted if site not in busy and self._is_due(site, size, cosigned, len(wanted), settled)
        ]

    def _is_due(self, site: str, size: int, cosigned: frozenset[str], wanted: int, settled: bool) -> bool:
        (asked_size, known), at = self._asked.get(site, ((0, 0), self._clock() - ASKED_AGAIN_AFTER))
        if asked_size != size:
            return True
        rested = self._clock() - at >= ASKED_AGAIN_AFTER
        if site not in cosigned:
            return rested
        everyone = len(cosigned) >= wanted
        return known < len(cosigned) and settled and (everyone or rested)
