"""The clinical path keeps a study for the days that the hospital set, and then lets it go."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.clinic.tables import WorklistLine
from wardround.node.receive.clinical import purge_clinical

LOOKED_AT_EVERY = timedelta(hours=1)


class Retention:
    """Purges studies and results; `tick` looks at most once an hour."""

    def __init__(self, database: Database, clinical: Path, results: Path, keep: timedelta, clock: Clock) -> None:
        self._database = database
        self._clinical = clinical
        self._results = results
        self._keep = keep
        self._clock = clock
        self._looked: datetime | None = None

    def tick(self) -> int:
        """Purge what is past its time, audited; returns how many studies and results went."""
        moment = self._clock()
        if self._looked is not None and moment - self._looked < LOOKED_AT_EVERY:
            return 0
        self._looked = moment
        before = moment - self._keep
        purged = purge_clinical(self._database, self._clinical, older_than=before, actor="program", clock=self._clock)
        with self._database.writing() as session:
            lines = session.scalars(
                select(WorklistLine).where(WorklistLine.arrived_at < before, WorklistLine.result.is_not(None))
            ).all()
            files = [self._results / line.result for line in lines if line.result is not None]
            for line in lines:
                line.result = None
            if lines:
                audit.record(session, "program", "purge-results", "results", f"{len(lines)} results")
        for file in files:
            file.unlink(missing_ok=True)
        return purged.studies + len(files)
