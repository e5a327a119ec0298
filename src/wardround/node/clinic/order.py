"""The worklist's order: as studies arrived, those that a model flagged further up where its stage allows that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.stage import STAGES
from wardround.foundation.clock import now
from wardround.node.clinic.answers import Answers, answers_of, is_shown
from wardround.node.clinic.states import IN_WORDS, WITH_RESULT, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine

Why = Literal["flagged", "waited", "arrival"]
FLAGGED: Why = "flagged"
WAITED: Why = "waited"
ARRIVAL: Why = "arrival"


@dataclass(frozen=True)
class Place:
    """A line of the worklist where it stands, and why there. `finding` is empty where the stage shows none."""

    line: WorklistLine
    deployment: Deployment
    why: Why
    answers: Answers
    finding: str = ""

    @property
    def reason(self) -> str:
        """Why it stands where it stands, for people, and what was read beside it."""
        return f"{self._standing}; {beside}" if (beside := self._beside) else self._standing

    @property
    def _beside(self) -> str:
        """Of a study that was read on a pathway that asks for an earlier one: whether there was one."""
        if self.line.prior is None or self.line.state not in WITH_RESULT:
            return ""
        if self.line.prior_days is None:
            return "read by itself: no earlier study that will do is kept here"
        return f"read beside a study of {self.line.prior_days} days before"

    @property
    def _standing(self) -> str:
        if self.why == FLAGGED:
            return "moved up: flagged by a model"
        if self.why == WAITED:
            return "by arrival, before what is flagged: it has waited past its deadline"
        state = ReadingState(self.line.state)
        if state in (ReadingState.FAILED, ReadingState.OUT_OF_SCOPE, ReadingState.NOT_READ):
            return f"by arrival: {state} ({self.line.reason})" if self.line.reason else f"by arrival: {state}"
        if not STAGES[self.deployment.stage].orders_worklist:
            return f"by arrival: at {self.deployment.stage} a model moves nothing"
        return "by arrival"

    @property
    def progress(self) -> str:
        """How far it has come, for people. What a model gave isn't told where the stage shows nothing."""
        state = ReadingState(self.line.state)
        if state in WITH_RESULT and not STAGES[self.line.read_as or self.deployment.stage].findings_shown:
            return "read; the stage shows nothing"
        return f"{IN_WORDS[state]} ({self.line.reason})" if self.line.reason else IN_WORDS[state]


def worklist(session: Session, at: datetime | None = None, *, answered: bool = True) -> list[Place]:
    """The studies on the clinical path in the order in which they should be read; of each its last version.

    Flagged studies come first, by arrival; all others follow by arrival. So a study that wasn't flagged, or of which
    the model gave nothing, keeps its order among its like, whatever became of the model. One that has waited past its
    deadline is overtaken by none that came after it.

    Args:
        at: the moment for which the order is asked; now, if not given.
        answered: with those on which a person has given their judgement.
    """
    rows = session.execute(
        select(WorklistLine, Deployment)
        .join(Deployment, Deployment.id == WorklistLine.deployment)
        .where(WorklistLine.state != ReadingState.ELSEWHERE)
    ).all()
    said = answers_of(session, [line.id for line, _ in rows])
    places = in_order(((line, deployment) for line, deployment in rows), said, at or now())
    return [place for place in places if answered or not place.answers.judged]


def in_order(rows: Iterable[tuple[WorklistLine, Deployment]], said: Mapping[int, Answers], at: datetime) -> list[Place]:
    """As `worklist`, of rows in any order."""
    by_arrival = sorted(_last_versions(list(rows)), key=lambda row: (row[0].arrived_at, row[0].id))
    flagged = {line.study for line, deployment in by_arrival if _moves_up(line, deployment)}
    overtaking = max((line.arrived_at for line, _ in by_arrival if line.study in flagged), default=None)
    keyed: list[tuple[tuple[int, bool, int], Place]] = []
    # Each flagged study goes before the unflagged ones, but for the last that waits for none.
    number, barrier = 0, 0
    for place, (line, deployment) in enumerate(by_arrival):
        answers = said.get(line.id, Answers())
        why = ARRIVAL
        if line.study in flagged:
            why = FLAGGED
        elif overtaking is not None and line.arrived_at < overtaking and _overdue(line, answers, at):
            why, barrier = WAITED, number + 1
        key = (barrier, False, place) if why == FLAGGED else (number, True, place)
        number += why != FLAGGED
        keyed.append((key, Place(line, deployment, why, answers, _finding(line, deployment, answers))))
    return [place for _, place in sorted(keyed, key=lambda one: one[0])]


def _last_versions(rows: Sequence[tuple[WorklistLine, Deployment]]) -> list[tuple[WorklistLine, Deployment]]:
    newest: dict[str, int] = {}
    for line, _ in rows:
        newest[line.study] = max(line.version, newest.get(line.study, 0))
    return [(line, deployment) for line, deployment in rows if line.version == newest[line.study]]


def _finding(line: WorklistLine, deployment: Deployment, answers: Answers) -> str:
    """What may be told of it: what a check found always, for no model was asked."""
    if line.state == ReadingState.OUT_OF_SCOPE or is_shown(line, deployment, answers):
        return line.finding
    return ""


def _overdue(line: WorklistLine, answers: Answers, at: datetime) -> bool:
    return line.due_at is not None and line.due_at < at and answers.opened is None


def _moves_up(line: WorklistLine, deployment: Deployment) -> bool:
    """Only what is flagged by a model that is in use still, at a stage which moves studies."""
    if line.state not in WITH_RESULT or not line.flagged or not deployment.active:
        return False
    return STAGES[deployment.stage].orders_worklist
