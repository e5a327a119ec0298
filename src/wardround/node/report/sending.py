"""What every way out has in common: which outputs are due, and what became of one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from wardround.contracts.stage import STAGES, Audience
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.clinic.answers import first_readings
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.report.document import OutputKind
from wardround.node.report.record import Record, RecordDamaged, from_bytes
from wardround.node.report.states import OutputState, check_transition
from wardround.node.report.tables import Output

ATTEMPTS = 3
"""How often something is offered to who refuses it for good."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=15)
_GOING_OUT = (ReadingState.READ.value, ReadingState.DELIVERED.value)


@dataclass(frozen=True, slots=True)
class Due:
    """An output to be sent now, and the line of the worklist that it is of."""

    output: Output
    line: WorklistLine


def pause_after(attempts: int) -> timedelta:
    """How long something is left alone that failed so many times."""
    doubled: int = 2 ** min(attempts, 16)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def _stages(audience: Audience, *, after_first_reading: bool) -> list[str]:
    return [
        name
        for name, stage in STAGES.items()
        if stage.results == audience and stage.after_first_reading is after_first_reading
    ]


class Outbox:
    """Outputs of some kinds on their way out.

    Nothing of a model that was suspended goes out, and nothing of a study whose line a person has ended. What was read
    at a stage goes to that stage's audience alone and, where the stage holds it back until then, after a first reading.

    Args:
        results: where the files lie.
        audience: those who see what goes this way.
    """

    def __init__(
        self,
        database: Database,
        results: Path,
        kinds: Collection[OutputKind],
        clock: Clock,
        audience: Audience = "ward",
    ) -> None:
        self._at_once, self._held = (_stages(audience, after_first_reading=held) for held in (False, True))
        self._database = database
        self._results = results
        self._kinds = [kind.value for kind in kinds]
        self._clock = clock

    def due(self) -> list[Due]:
        """What is to be sent now, by arrival of the studies."""
        with self._database.reading() as session:
            return self._due(session, None)

    def contents(self, outputs: Iterable[Due]) -> Iterator[tuple[Due, bytes]]:
        """Those of them that are to be sent still, looked at just before, with their files. One whose file is gone is
        lost."""
        for one in outputs:
            if self._still_due(one) and (content := self._content(one)) is not None:
                yield one, content

    def records(self) -> Iterator[tuple[Due, Record]]:
        """As `contents`, of all that is due, for what is made of the record of a finding. One that is damaged is
        lost."""
        for one, content in self.contents(self.due()):
            try:
                record = from_bytes(content)
            except RecordDamaged:
                self.lost(one)
                continue
            yield one, record

    def _still_due(self, one: Due) -> bool:
        with self._database.reading() as session:
            return bool(self._due(session, one.output.id))

    def _due(self, session: Session, number: int | None) -> list[Due]:
        asked = (
            select(Output, WorklistLine)
            .join(WorklistLine, WorklistLine.id == Output.line)
            .join(Deployment, Deployment.id == WorklistLine.deployment)
            .where(
                Output.state == OutputState.WAITING.value,
                Output.kind.in_(self._kinds),
                Output.due_at <= self._clock(),
                Output.file.is_not(None),
                WorklistLine.state.in_(_GOING_OUT),
                Deployment.suspended_at.is_(None),
                or_(
                    WorklistLine.read_as.in_(self._at_once),
                    and_(WorklistLine.read_as.in_(self._held), WorklistLine.id.in_(first_readings())),
                ),
            )
            .order_by(WorklistLine.arrived_at, Output.line, Output.id)
        )
        if number is not None:
            asked = asked.where(Output.id == number)
        return [Due(output, line) for output, line in session.execute(asked)]

    def _content(self, one: Due) -> bytes | None:
        assert one.output.file is not None  # noqa: S101 - `due` gives none without a file
        try:
            return (self._results / one.output.file).read_bytes()
        except OSError:
            self.lost(one)
            return None

    def lost(self, one: Due) -> None:
        """Note that there is nothing of it that could be sent, audited."""
        self.end(one, OutputState.LOST, "result-lost")

    def end(self, one: Due, state: OutputState, reason: str = "") -> None:
        """Note where it got to, audited."""
        at = self._clock()
        with self._database.writing() as session:
            row = session.get(Output, one.output.id)
            if row is None or row.state != OutputState.WAITING:
                return  # erased, or ended otherwise meanwhile
            check_transition(OutputState(row.state), state)
            row.state, row.reason, row.due_at = state, reason, at
            if state is OutputState.SENT:
                row.sent_at = at
            detail = f"{row.kind} {state}" if not reason else f"{row.kind} {state}: {reason}"
            audit.record(session, "program", "send-output", one.line.study, detail, clock=lambda: at)

    def again(self, one: Due, reason: str, *, refused: bool) -> None:
        """Try it again after a pause. `refused`: for good, so that it is given up after `ATTEMPTS`."""
        if refused and one.output.attempts + 1 >= ATTEMPTS:
            self.end(one, OutputState.REFUSED, reason)
            return
        at = self._clock()
        with self._database.writing() as session:
            row = session.get(Output, one.output.id)
            if row is not None and row.state == OutputState.WAITING:
                row.due_at = at + pause_after(row.attempts)
                row.attempts += 1
                row.reason = reason
