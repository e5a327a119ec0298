"""What a radiologist agreed with, or an outline that they corrected, becomes a reference label of the de-identified
study, where the pathway's file allows.

1. The file says `labels = true`, when the person answers and when the label is made.
2. What they said is their last word on the study, and an hour old.
3. The study came down the research path too, and its images passed that: they are in the enclave. Whoever opted out has
   none there.
4. This node's rules of routing send the label down the research path, and nowhere else.
5. It goes through the front door and is de-identified like any object that a PACS sends: opt-outs are asked once more,
   and an erasure finds it.
6. Once they answer otherwise, what was made of the earlier answer is taken out of the enclave.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session, aliased

from wardround.compute.worker import Worker, WorkerDied
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import WardroundError
from wardround.node import audit
from wardround.node.clinic.answers import answers_of
from wardround.node.clinic.definition import Definition
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.label import NoLabel, label_uid, write_label
from wardround.node.clinic.states import JUDGEMENTS, AnswerVerb
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.enclave.withdrawal import withdraw_label
from wardround.node.receive.arrival import Arrival
from wardround.node.receive.clinical import clinical_study
from wardround.node.receive.landing import Answer
from wardround.node.receive.reception import Reception
from wardround.node.receive.route import Route, StudyPath
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy

_log = logging.getLogger(__name__)

SETTLED = timedelta(hours=1)
"""So long a person may still change their mind before anything is made of what they said."""
CALLING_TITLE = "WORKLIST"
"""The sender's title of a label, for rules of routing to look at."""
MADE, WITHDRAWN, SUPERSEDED = "made", "withdrawn", "superseded"
_LONGEST = 120.0


class Labelling:
    """`tick` makes the labels that are due, and takes out those whose answer changed.

    Args:
        clinical: where the clinical path's studies lie; results: what models gave of them.
        reception: takes a label in. title: the node's title for research, to which it is sent.
        new_uid: what de-identification makes of a UID, by which a label is found in the enclave.
    """

    def __init__(
        self,
        database: Database,
        definitions: Definitions,
        worker: Worker,
        clinical: Path,
        results: Path,
        *,
        reception: Reception,
        title: str,
        new_uid: Callable[[str], str],
        clock: Clock,
    ) -> None:
        self._database = database
        self._definitions = definitions
        self._worker = worker
        self._clinical = clinical
        self._results = results
        self._reception = reception
        self._title = title
        self._new_uid = new_uid
        self._clock = clock

    def tick(self) -> int:
        """Returns with how many answers it is done, made, not made or withdrawn."""
        done = self._withdraw()
        with self._database.reading() as session:
            due = [(row, line, deployment) for row, line, deployment in session.execute(_due(self._clock() - SETTLED))]
            words = {row.id: self._superseded(session, row) for row, _, _ in due}
            ready = {line.study: _in_enclave(session, line.study) for _, line, _ in due}
        for answer, line, deployment in due:
            outcome = words[answer.id] or self._make(answer, line, deployment, ready[line.study])
            if outcome:
                self._settle(answer, line, deployment, outcome)
                done += 1
        return done

    def _withdraw(self) -> int:
        """Step 6. A label that is on its way yet is waited for."""
        done = 0
        with self._database.reading() as session:
            rows = session.execute(_made_of_earlier()).all()
            ready = [one for one in rows if _in_enclave(session, one[1].study)]
        for answer, line in ready:
            original, at = label_uid(_name(answer, line)), self._clock()
            with self._database.writing() as session:
                row = session.get(WorklistAnswer, answer.id)
                if row is None:
                    continue
                for uid in (self._new_uid(original), original):
                    withdraw_label(session, uid, actor="program", reason="the answer changed", at=at)
                row.labelled = WITHDRAWN
                told = f"answer {answer.id} by {answer.actor} is no longer the last"
                audit.record(session, "program", "withdraw-label", line.study, told, clock=self._clock)
            done += 1
        return done

    def _superseded(self, session: Session, answer: WorklistAnswer) -> str:
        last = answers_of(session, [answer.line])[answer.line].judgement
        return "" if last is not None and last.id == answer.id else SUPERSEDED

    def _make(self, answer: WorklistAnswer, line: WorklistLine, deployment: Deployment, in_enclave: bool) -> str:
        """Steps 1 and 3 to 5; what became of it as a code, empty while the study isn't in the enclave yet."""
        definition = self._allowed(deployment)
        if definition is None:
            return "not-allowed"
        corrected = answer.verb == AnswerVerb.CORRECTED
        kept = answer.outline if corrected else line.result
        if kept is None or line.volume_ml is None:
            return "gone"
        if not in_enclave:
            return ""
        study = clinical_study(self._database, self._clinical, line.study)
        if study is None:
            return "gone"
        files, outline = list(study.files), self._results / kept
        try:
            label: bytes = self._worker.call_within(
                _LONGEST,
                write_label,
                definition,
                files,
                outline,
                assisted_by=deployment.name,
                name=_name(answer, line),
                at=answer.at,
                corrected=corrected,
            )
        except NoLabel as error:
            return error.code
        except WorkerDied:
            return "process-died"
        arrival = Arrival(label, self._title, CALLING_TITLE)
        if self._reception.rule_of(arrival).route is not Route.RESEARCH:
            _log.error("a label isn't made: the rules of routing don't send it to research alone")
            return "not-routed"
        return MADE if self._reception.receive(arrival) is Answer.STORED else "not-taken"

    def _allowed(self, deployment: Deployment) -> Definition | None:
        try:
            definition = self._definitions.of(deployment.pathway)
        except WardroundError:
            return None
        return definition if definition.labels else None

    def _settle(self, answer: WorklistAnswer, line: WorklistLine, deployment: Deployment, outcome: str) -> None:
        with self._database.writing() as session:
            row = session.get(WorklistAnswer, answer.id)
            if row is None:  # erased meanwhile, and what the front door took with it
                return
            row.labelled = outcome
            told = f"{outcome}: answer {answer.id} by {answer.actor}, model {deployment.model} on {deployment.pathway}"
            audit.record(session, "program", "make-label", line.study, told, clock=self._clock)


def _name(answer: WorklistAnswer, line: WorklistLine) -> str:
    """Of the label of an answer."""
    return f"{line.study} {line.version} {answer.id}"


def _made_of_earlier() -> Select[WorklistAnswer, WorklistLine]:
    """Answers of which a label was made, and after which something else was answered."""
    later = aliased(WorklistAnswer)
    return (
        select(WorklistAnswer, WorklistLine)
        .join(WorklistLine, WorklistLine.id == WorklistAnswer.line)
        .where(
            WorklistAnswer.labelled == MADE,
            exists().where(later.line == WorklistAnswer.line, later.id > WorklistAnswer.id, later.verb.in_(JUDGEMENTS)),
        )
        .order_by(WorklistAnswer.id)
    )


def _due(before: datetime) -> Select[WorklistAnswer, WorklistLine, Deployment]:
    return (
        select(WorklistAnswer, WorklistLine, Deployment)
        .join(WorklistLine, WorklistLine.id == WorklistAnswer.line)
        .join(Deployment, Deployment.id == WorklistLine.deployment)
        .where(WorklistAnswer.label, WorklistAnswer.labelled == "", WorklistAnswer.at <= before)
        .order_by(WorklistAnswer.id)
    )


def _in_enclave(session: Session, study: str) -> bool:
    """Whether a study came down the research path too, whole, and all that came of it was de-identified."""
    rows = select(ReceivedInstance.state).join(ReceivedStudy, ReceivedInstance.study_id == ReceivedStudy.id)
    here = rows.where(ReceivedStudy.path == StudyPath.RESEARCH.value, ReceivedStudy.study_key == study).distinct()
    return set(session.scalars(here)) == {State.DEIDENTIFIED.value}
