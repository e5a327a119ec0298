"""Takes a model out of use where a chart of it breaks: by itself, at once, on the record."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from wardround.contracts.evidence import ShadowUse
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node.clinic.answers import Answers, answers_of
from wardround.node.clinic.deployment import active
from wardround.node.clinic.states import COUNTED, AnswerVerb, ReadingState
from wardround.node.clinic.suspension import suspend
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.evidence.shelf import latest_shadow
from wardround.node.monitoring.charts import Chart, Charts, Word
from wardround.node.record.entries import SiteEntries
from wardround.node.settings import ClinicSettings

_log = logging.getLogger(__name__)
_AT_ONCE = 500


Mark = tuple[int, bool]
"""A study on a deployment's charts: the number of its last line, and whether the model gave no result."""


class Watched:
    """The charts of one deployment, kept from one look to the next: only what is new is read and added. Where a study
    ended that came before one which is on them already, or came again, they are made anew, as for other evidence of
    shadow use."""

    def __init__(self, settings: ClinicSettings) -> None:
        self._settings = settings
        self._shadow: ShadowUse | None = None
        self._marks: list[Mark] = []
        self._charts: Charts | None = None

    def charts(self, session: Session, deployment: Deployment) -> tuple[Chart, ...]:
        """As they stand; of each study its last version counts."""
        shadow, marks = latest_shadow(session, deployment.model, deployment.pathway), _marks(session, deployment)
        # Charts of which a look was broken off aren't looked at again.
        found, self._charts = self._charts, None
        if found is None or shadow != self._shadow or marks[: len(self._marks)] != self._marks:
            found = Charts(shadow, self._settings.usual_failures, self._settings.alarm_every)
            self._marks = []
        found.add(_lines(session, [number for number, _ in marks[len(self._marks) :]]))
        self._charts, self._shadow, self._marks = found, shadow, marks
        said = answers_of(session, _answered(session, deployment))
        words = {line.id: _word(said[line.id], line) for line in _lines(session, list(said))}
        return found.standing([word for number, _ in marks if (word := words.get(number)) is not None])


def _word(answers: Answers, line: WorklistLine) -> Word | None:
    otherwise = answers.differs(line)
    return None if otherwise is None else Word(bool(line.flagged), otherwise)


def charts_of(session: Session, deployment: Deployment, settings: ClinicSettings) -> tuple[Chart, ...]:
    """The charts of a deployment as they stand."""
    return Watched(settings).charts(session, deployment)


def _marks(session: Session, deployment: Deployment) -> list[Mark]:
    """The studies that have ended, by arrival."""
    line = WorklistLine
    query = select(line.study, line.id, line.arrived_at, line.state).where(
        line.deployment == deployment.id, line.state.in_(COUNTED)
    )
    last = {row.study: row for row in session.execute(query.order_by(line.version))}
    ordered = sorted(last.values(), key=lambda row: (row.arrived_at, row.id))
    return [(row.id, row.state == ReadingState.FAILED) for row in ordered]


def _lines(session: Session, numbers: Sequence[int]) -> Iterator[WorklistLine]:
    """Lines by their numbers, in that order."""
    for start in range(0, len(numbers), _AT_ONCE):
        part = numbers[start : start + _AT_ONCE]
        found = {line.id: line for line in session.scalars(select(WorklistLine).where(WorklistLine.id.in_(part)))}
        yield from (found[number] for number in part)


def _answered(session: Session, deployment: Deployment) -> Sequence[int]:
    query = select(WorklistAnswer.line).join(WorklistLine, WorklistLine.id == WorklistAnswer.line)
    query = query.where(WorklistLine.deployment == deployment.id, WorklistAnswer.verb != AnswerVerb.OPENED)
    return session.scalars(query.distinct()).all()


class Monitor:
    """`tick` looks at each model in use of which a study has ended, or a person has said something of one,
    since it last looked."""

    def __init__(self, database: Database, entries: SiteEntries, settings: ClinicSettings, clock: Clock) -> None:
        self._database = database
        self._entries = entries
        self._settings = settings
        self._clock = clock
        self._seen: dict[int, tuple[int, int]] = {}
        self._watched: dict[int, Watched] = {}

    def tick(self) -> int:
        """Suspend every model of which a chart is broken; returns how many were."""
        broken: list[tuple[Deployment, Chart]] = []
        with self._database.reading() as session:
            in_use = active(session)
            self._watched = {one.id: self._watched.get(one.id) or Watched(self._settings) for one in in_use}
            for deployment in in_use:
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
                standing = self._watched[deployment.id].charts(session, deployment)
                found = [chart for chart in standing if chart.broken_at]
                broken += [(deployment, chart) for chart in found[:1]]
        for deployment, chart in broken:
            with self._database.writing() as session:
                if session.get_one(Deployment, deployment.id).active:
                    at = self._clock()
                    suspend(session, deployment.pathway, chart.reason, self._entries, actor="program", at=at)
            _log.warning("model %s is out of use on %s: %s", deployment.model[:12], deployment.pathway, chart.words)
        return len(broken)
