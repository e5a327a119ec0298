"""Answers a cohort question: read it, pay for it, count, log what is told, and only then let it leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from pydantic import ValidationError

from wardround.contracts.cohort_query import LARGEST, CohortQuestion, QuestionRefused, read_question
from wardround.contracts.outbound import CohortAnswer, CohortPart
from wardround.contracts.task import Axis, CountCohort
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort import budget, queries
from wardround.node.cohort.disclosure import Discloser, disclosed_parts
from wardround.node.cohort.noise import Tally
from wardround.node.cohort.tables import AskedQuestion
from wardround.node.gateway.gateway import Gateway
from wardround.node.settings import CohortSettings

MOST_GROUPS = 100
"""Of one axis; those with the largest numbers are told."""


@dataclass(frozen=True, slots=True)
class Found:
    """Whom a question found: all together, and by axis and group."""

    people: Tally
    parts: Mapping[Axis, Mapping[str, Tally]] = field(default_factory=dict)


Count = Callable[[CohortQuestion, tuple[Axis, ...]], Found]
"""Evaluates a question. Raises `NotAllowed`, with a code, for what can't be answered here."""


class Answering:
    """Does the task `CountCohort`. Doing it again, as after a restart, sends what was told and costs nothing.

    Args:
        barred: why no question is answered at that moment, as a code; None where they are.
    """

    def __init__(
        self,
        database: Database,
        count: Count,
        gateway: Gateway,
        discloser: Discloser,
        settings: CohortSettings,
        clock: Clock,
        *,
        barred: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._database = database
        self._count = count
        self._gateway = gateway
        self._discloser = discloser
        self._settings = settings
        self._clock = clock
        self._barred = barred
        self._one_at_a_time = threading.Lock()

    def answer(self, task: CountCohort) -> None:
        """Tell the hub what may be told.

        Raises:
            NotAllowed: the question is refused; the code says why.
            HubUnreachable: what is told waits in the log for the next try.
        """
        number, question = self._take(task)
        if question is not None:
            self._evaluate(number, question, task.by)
        with self._database.reading() as session:
            row = session.get_one(AskedQuestion, number)
        if row.outcome == "refused":
            raise NotAllowed("a cohort question was refused", code=row.reason or "refused")
        self._gateway.send(CohortAnswer.model_validate({**(row.told or {}), "ask": task.ask, "project": task.project}))

    def _take(self, task: CountCohort) -> tuple[int, CohortQuestion | None]:
        """The number of the question in the log, and the question where it has still to be evaluated."""
        question, refusal = _read(task.question)
        refusal = refusal or self._barred()
        if refusal is None and task.project is None and not self._settings.without_project:
            refusal = "question-without-project"
        row = AskedQuestion(
            at=self._clock(),
            ask=task.ask,
            asked_by=task.asked_by,
            project=task.project or "",
            digest=sha256(task.question.encode()).hexdigest() if question is None else question.content_digest(),
            words="" if question is None else question.in_words(),
            by=list(task.by),
            cost=1 + len(task.by),
        )
        with self._one_at_a_time, self._database.writing() as session:
            known = queries.of_ask(session, task.ask)
            if known is not None and (known.digest, list(known.by)) == (row.digest, row.by):
                return known.id, question if known.outcome == "asked" else None
            if refusal is None:
                found = budget.left(session, self._settings, asked_by=row.asked_by, project=row.project, at=row.at)
                refusal = found.refusal(row.cost)
                before = queries.told_before(session, row) if refusal else None
                if before is not None:
                    refusal, row.told = None, before.told
            row.reason = refusal
            row.outcome = "refused" if refusal else "repeated" if row.told else "asked"
            if row.outcome != "asked":
                row.cost = 0
            session.add(row)
            session.flush()
            return row.id, question if row.outcome == "asked" else None

    def _evaluate(self, number: int, question: CohortQuestion, by: tuple[Axis, ...]) -> None:
        try:
            found = self._count(question, by)
        except NotAllowed as error:
            with self._database.writing() as session:
                row = session.get_one(AskedQuestion, number)
                row.outcome, row.reason, row.cost = "refused", error.code, 0
            return
        answer = CohortAnswer(
            question=question.content_digest(),
            people=self._discloser.of(found.people),
            parts=tuple(part for axis in by for part in self._parts(axis, found.parts.get(axis, {}))),
        )
        told = answer.model_dump(mode="json", include={"question", "people", "parts"})
        with self._database.writing() as session:
            row = session.get_one(AskedQuestion, number)
            before = queries.told_before(session, row)
            row.told, row.people = told, found.people.people
            row.near = queries.near(session, row)
            row.outcome = "told"
            if before is not None and before.told == told:
                row.outcome, row.cost = "repeated", 0

    def _parts(self, axis: Axis, found: Mapping[str, Tally]) -> list[CohortPart]:
        told = disclosed_parts(found, smallest=self._discloser.least)
        largest = sorted(told, key=lambda name: (-(told[name].about or 0), name))[:MOST_GROUPS]
        parts = []
        for name in sorted(largest):
            try:
                parts.append(CohortPart(axis=axis, value=name, people=told[name]))
            except ValidationError:
                continue  # a name that the contract has no room for stays here, as that of a small group does
        return parts


def _read(text: str) -> tuple[CohortQuestion | None, str | None]:
    """The question, or the code of why it can't be read. What the hub checked is checked again."""
    if len(text.encode()) > LARGEST:
        return None, "question-too-large"
    try:
        return read_question(text), None
    except QuestionRefused:
        return None, "question-not-understood"
