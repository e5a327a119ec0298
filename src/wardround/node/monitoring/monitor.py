"""Takes a model out of use where a chart of it breaks: by itself, at once, on the record."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.clinic.answers import answers_of
from wardround.node.clinic.deployment import active
from wardround.node.clinic.states import COUNTED, AnswerVerb
from wardround.node.clinic.suspension import suspend
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.evidence.shelf import latest_shadow
from wardround.node.monitoring.charts import Chart, charts
from wardround.node.record.entries import SiteEntries
from wardround.node.settings import ClinicSettings

_log = logging.getLogger(__name__)


def charts_of(session: Session, deployment: Deployment, settings: ClinicSettings) -> tuple[Chart, ...]:
    """The charts of a deployment as they stand; of each study its last version counts."""
    query = select(WorklistLine).where(WorklistLine.deployment == deployment.id, WorklistLine.state.in_(COUNTED))
    last = {line.study: line for line in session.scalars(query.order_by(WorklistLine.version))}
    lines: Sequence[WorklistLine] = sorted(last.values(), key=lambda line: (line.arrived_at, line.id))
    shadow = latest_shadow(session, deployment.model, deployment.pathway)
    said = answers_of(session, [line.id for line in lines])
    words = [said[line.id].differs(line) for line in lines if line.id in said]
    differing = [word for word in words if word is not None]
    return charts(lines, shadow, settings.usual_failures, settings.alarm_every, differing)


class Monitor:
    """`tick` looks at each model in use of which a study has ended, or a person has said something of one,
    since it last looked."""

    def __init__(self, database: Database, entries: SiteEntries, settings: ClinicSettings, clock: Clock) -> None:
        self._database = database
        self._entries = entries
        self._settings = settings
        self._clock = clock
        self._seen: dict[int, tuple[int, int]] = {}

    def tick(self) -> int:
        """Suspend every model of which a chart is broken; returns how many were."""
        broken: list[tuple[Deployment, Chart]] = []
        with self._database.reading() as session:
            for deployment in active(session):
                ended = select(func.count()).where(
                    WorklistLine.deployment == deployment.id, WorklistLine.state.in_(COUNTED)
                )
                # That a study was opened changes no chart.
                answered = (
                    select(func.count(WorklistAnswer.id))
                    .join(WorklistLine, WorklistLine.id == WorklistAnswer.line)
                    .where(WorklistLine.deployment == deployment.id, WorklistAnswer.verb != AnswerVerb.OPENED)
                )
                count = session.scalar(ended) or 0, session.scalar(answered) or 0
                if self._seen.get(deployment.id) == count:
                    continue
                self._seen[deployment.id] = count
                found = [chart for chart in charts_of(session, deployment, self._settings) if chart.broken_at]
                broken += [(deployment, chart) for chart in found[:1]]
        for deployment, chart in broken:
            with self._database.writing() as session:
                if session.get_one(Deployment, deployment.id).active:
                    at = self._clock()
                    suspend(session, deployment.pathway, chart.reason, self._entries, actor="program", at=at)
            _log.warning("model %s is out of use on %s: %s", deployment.model[:12], deployment.pathway, chart.words)
        return len(broken)
