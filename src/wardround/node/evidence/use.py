"""What a deployment did with the studies of one stage, and what people said of each: what evidence of use is made of.

It reads the worklist and the answers on it, and nothing else; it is the one place that says which answer means what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.stage import EVIDENCE, EvidenceKind, StageName
from wardround.foundation.errors import NotAllowed
from wardround.node.clinic.answers import Answers, answers_of
from wardround.node.clinic.states import JUDGEMENTS, WITH_RESULT, AnswerVerb, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine


@dataclass(frozen=True)
class Study:
    """One study, in its last version, with what was said of it."""

    line: WorklistLine
    answers: Answers

    @property
    def read(self) -> bool:
        """Whether the model gave a result."""
        return self.line.state in WITH_RESULT

    @property
    def flagged(self) -> bool:
        return self.read and self.line.flagged

    @property
    def opened_at(self) -> datetime | None:
        opened = self.answers.opened
        return None if opened is None else opened.at

    @property
    def reported_at(self) -> datetime | None:
        """When a person first said what they found, or first judged the result."""
        said = (row.at for row in self.answers.rows if row.verb in JUDGEMENTS or row.verb == AnswerVerb.FOUND)
        return next(said, None)

    @property
    def first(self) -> bool | None:
        """What a person found without the model's result; None where nobody said."""
        return self.answers.found

    @property
    def final(self) -> bool | None:
        """What a person found in the end: with a result agreed with, what it says; with one rejected, the other; one
        corrected is wrong in its measure, and something is there. Without a judgement the first reading stands."""
        judged = self.answers.judgement
        if judged is None:
            return self.first
        if judged.verb == AnswerVerb.CORRECTED:
            return True
        return self.line.flagged is (judged.verb == AnswerVerb.AGREED)

    @property
    def overruled(self) -> str | None:
        """The code with which a person overruled the result."""
        judged = self.answers.judgement
        return None if judged is None or judged.verb == AnswerVerb.AGREED else judged.reason or None

    @property
    def overlap(self) -> float | None:
        """Dice between the model's outline and that as it was corrected in the end."""
        judged = self.answers.judgement
        return None if judged is None else judged.overlap

    @property
    def seen(self) -> bool:
        """Whether anybody did anything with it while the result was before them."""
        return any(row.shown for row in self.answers.rows)


def check_stage(deployment: Deployment, kind: EvidenceKind) -> StageName:
    """The deployment's stage, if evidence of that kind is made at it. Raises `NotAllowed` (`wrong-stage`)."""
    for stage in EVIDENCE[kind].at:
        if deployment.stage == stage:
            return stage
    raise NotAllowed(
        f"{deployment.model[:12]} is at {deployment.stage}; {kind} is made at {' and '.join(EVIDENCE[kind].at)}",
        code="wrong-stage",
    )


def studies_at(session: Session, deployment: Deployment, stage: str, until: datetime) -> list[Study]:
    """The studies that came while the deployment was at a stage, by arrival: from the first that was read at it on.
    Those that wait for the model still, and those that are no study of the pathway, aren't there."""
    query = select(WorklistLine).where(WorklistLine.deployment == deployment.id, WorklistLine.arrived_at <= until)
    left_out = (ReadingState.WAITING, ReadingState.ELSEWHERE)
    lines = [line for line in session.scalars(query) if line.state not in left_out]
    # A study that grew was read anew: it counts once, as its last version went.
    last = {line.study: line for line in sorted(lines, key=lambda line: line.version)}
    at_stage = [line.arrived_at for line in last.values() if line.read_as == stage]
    first = deployment.deployed_at if stage == "shadow" else min(at_stage, default=until)
    chosen = sorted(
        (line for line in last.values() if line.arrived_at >= first and line.read_as in ("", stage)),
        key=lambda line: (line.arrived_at, line.id),
    )
    said = answers_of(session, [line.id for line in chosen])
    return [Study(line, said.get(line.id, Answers())) for line in chosen]


def truths(studies: Sequence[Study], adjudicated: Mapping[str, bool]) -> dict[int, bool]:
    """What is so of each study, by its place, where it was adjudicated by the worklist's key.

    Raises:
        NotAllowed: `unknown-study`, something else was adjudicated.
    """
    places = {study.line.study: place for place, study in enumerate(studies)}
    if strange := sorted(adjudicated.keys() - places.keys()):
        raise NotAllowed(
            f"{len(strange)} adjudicated studies aren't among these ({strange[0]} is one); the worklist has the keys",
            code="unknown-study",
        )
    return {places[study]: truth for study, truth in adjudicated.items()}
