"""The clinical path keeps a study for the days that the hospital set, and then lets it go."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.clinic.tables import WorklistAnswer, WorklistLine
from wardround.node.receive.clinical import purge_clinical
from wardround.node.report.states import OutputState
from wardround.node.report.tables import Output

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
            files = {self._results / line.result for line in lines if line.result is not None}
            for line in lines:
                line.result = None
            drawn = select(WorklistAnswer).join(WorklistLine, WorklistLine.id == WorklistAnswer.line)
            for answer in session.scalars(
                drawn.where(WorklistLine.arrived_at < before, WorklistAnswer.outline.is_not(None))
            ).all():
                files.add(self._results / str(answer.outline))
                answer.outline = None
            old = select(Output).join(WorklistLine, WorklistLine.id == Output.line)
            outputs = session.scalars(old.where(WorklistLine.arrived_at < before, Output.file.is_not(None))).all()
            unsent = sum(output.state == OutputState.WAITING for output in outputs)
            files |= {self._results / output.file for output in outputs if output.file is not None}
            for output in outputs:
                output.file = None
            if files:
                told = f"{len(files)} results" + (f", {unsent} of them never sent" if unsent else "")
                audit.record(session, "program", "purge-results", "results", told)
        for file in files:
            file.unlink(missing_ok=True)
        return purged.studies + len(files)
