"""What people do with studies on the worklist: they open them, say what they found, and judge what a model gave.

Each is a row of its own with its actor, in one transaction with the audit. Nothing is taken back: the last judgement
counts, and all are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from wardround.contracts.stage import STAGES
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node import audit
from wardround.node.clinic.states import JUDGEMENTS, WITH_RESULT, AnswerVerb, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine

FEWEST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Corrected:
    """The outline as a person corrected it: its file beside the results, and Dice between it and the model's."""

    outline: str
    overlap: float


@dataclass(frozen=True)
class Answers:
    """What was said of one line, oldest first."""

    rows: tuple[WorklistAnswer, ...] = ()

    @property
    def opened(self) -> WorklistAnswer | None:
        """When it was first opened, and by whom."""
        return next((row for row in self.rows if row.verb == AnswerVerb.OPENED), None)

    @property
    def found(self) -> bool | None:
        """What was first said to be there, by a person who hadn't seen the model's result; None while nobody has."""
        return next((row.found for row in self.rows if row.verb == AnswerVerb.FOUND and not row.shown), None)

    @property
    def judgement(self) -> WorklistAnswer | None:
        """The last judgement of a result that was shown."""
        return next((row for row in reversed(self.rows) if row.verb in JUDGEMENTS), None)

    def differs(self, line: WorklistLine) -> bool | None:
        """Whether a person found otherwise than the model flagged; None where nobody said, or the model nothing.

        What they said before they saw its result goes before what they said after it.
        """
        if line.state not in WITH_RESULT:
            return None
        if self.found is not None:
            return self.found is not line.flagged
        said = self.judgement
        if said is None:
            return None
        return said.verb == AnswerVerb.REJECTED or (said.verb == AnswerVerb.CORRECTED and not line.flagged)

    @property
    def judged(self) -> bool:
        """Whether the study is done with: its result was judged, or somebody said what is there."""
        return self.judgement is not None or self.found is not None


def answers_of(session: Session, lines: Sequence[int]) -> dict[int, Answers]:
    """What was said of lines, by their numbers; a line of which nothing was said isn't in it."""
    found: dict[int, list[WorklistAnswer]] = {}
    for start in range(0, len(lines), 500):
        part = lines[start : start + 500]
        query = select(WorklistAnswer).where(WorklistAnswer.line.in_(part)).order_by(WorklistAnswer.id)
        for row in session.scalars(query):
            found.setdefault(row.line, []).append(row)
    return {line: Answers(tuple(rows)) for line, rows in found.items()}


def first_readings() -> Select[int]:
    """The lines on which a person has said what they found, without a model's result."""
    return select(WorklistAnswer.line).where(WorklistAnswer.verb == AnswerVerb.FOUND, WorklistAnswer.shown.is_(False))


def is_shown(line: WorklistLine, deployment: Deployment, answers: Answers) -> bool:
    """Whether a model's result is before whoever reads the study: by the table of stages, for the stage that it was
    read at, and only while the model is in use."""
    if not _in_use(line, deployment):
        return False
    stage = STAGES[line.read_as or deployment.stage]
    return stage.findings_shown and (not stage.after_first_reading or answers.found is not None)


def is_for_examiners(line: WorklistLine, deployment: Deployment) -> bool:
    """Whether a model's result is before those who examine the model, and before nobody who reads: as `is_shown`, at a
    stage whose results go to them alone."""
    return _in_use(line, deployment) and STAGES[line.read_as or deployment.stage].results == "examiners"


def line_of(session: Session, study: str, pathway: str | None = None) -> tuple[WorklistLine, Deployment]:
    """The line of a study, in its last version.

    Args:
        study: the study's key on the worklist, or its first digits, 6 at least.
        pathway: on which, where the study is on several.

    Raises:
        NotFound: no such study is on the worklist.
        NotAllowed: the digits fit several studies, or the study is on several pathways.
    """
    query = (
        select(WorklistLine, Deployment)
        .join(Deployment, Deployment.id == WorklistLine.deployment)
        .where(WorklistLine.study.startswith(study, autoescape=True), WorklistLine.state != ReadingState.ELSEWHERE)
        .order_by(WorklistLine.version.desc(), WorklistLine.id.desc())
    )
    rows = [] if len(study) < FEWEST_DIGITS else [(line, deployment) for line, deployment in session.execute(query)]
    rows = [row for row in rows if pathway in (None, row[1].pathway) and row[0].version == rows[0][0].version]
    if not rows:
        raise NotFound(f"no study {study} is on the worklist; see wardround node worklist, and give 6 digits or more")
    if len({line.study for line, _ in rows}) > 1:
        raise NotAllowed(f"{study} may be several studies; give more of it")
    if len({deployment.pathway for _, deployment in rows}) > 1:
        there = ", ".join(sorted({deployment.pathway for _, deployment in rows}))
        raise NotAllowed(f"study {study} is on several pathways ({there}); name one with --pathway")
    return rows[0]


def open_study(session: Session, line: WorklistLine, deployment: Deployment, *, actor: str, at: datetime) -> bool:
    """A person begins to read a study. Returns whether the model's result is before them now."""
    shown = is_shown(line, deployment, _said(session, line))
    _keep(session, line, AnswerVerb.OPENED, actor, at, shown=shown)
    return shown


def report(
    session: Session, line: WorklistLine, deployment: Deployment, *, found: bool, actor: str, at: datetime
) -> bool:
    """A person says what they found themselves, without the model's result: a first reading, or one beside a model in
    shadow use. Returns whether the result is before them now.

    Raises:
        NotAllowed: `not-opened`; `shown-already`, the result was before them; `reported`, it is on record.
    """
    said = _opened(session, line)
    if is_shown(line, deployment, said) or any(row.shown for row in said.rows):
        raise NotAllowed(
            "the model's result was shown with this study, so that what is said now is no reading of one's own; agree, "
            "correct or reject",
            code="shown-already",
        )
    if said.found is not None:
        raise NotAllowed("a first reading of this study is on record, and stays as it is", code="reported")
    _keep(session, line, AnswerVerb.FOUND, actor, at, shown=False, found=found)
    return is_shown(line, deployment, _said(session, line))


def judge(
    session: Session,
    line: WorklistLine,
    deployment: Deployment,
    verb: AnswerVerb,
    *,
    reason: str = "",
    label: bool = False,
    corrected: Corrected | None = None,
    actor: str,
    at: datetime,
) -> None:
    """A person agrees with a model's result, corrects or rejects it.

    Args:
        reason: why, as a code; of all but an agreement.
        label: whether the pathway lets a result that was agreed with, or an outline that was corrected, serve as a
            reference label.
        corrected: of a correction, the outline as it should have been, where it was drawn.

    Raises:
        NotAllowed: `not-opened`; `not-shown`, no result is before them, so that there is nothing to judge;
            `no-reason`.
    """
    said = _opened(session, line)
    if not is_shown(line, deployment, said):
        stage = line.read_as or deployment.stage
        raise NotAllowed(
            f"no result of a model is shown with this study (stage {stage}, {line.state}), so there is nothing to "
            "judge; say what you found yourself: wardround node worklist report",
            code="not-shown",
        )
    if verb is not AnswerVerb.AGREED and not reason:
        raise NotAllowed("say why, as a code: --reason CODE", code="no-reason")
    good = verb is AnswerVerb.AGREED or (verb is AnswerVerb.CORRECTED and corrected is not None)
    _keep(session, line, verb, actor, at, shown=True, reason=reason, label=label and good, corrected=corrected)


def _in_use(line: WorklistLine, deployment: Deployment) -> bool:
    """Whether there is a result, of a model that may still show it."""
    return line.state in WITH_RESULT and line.state != ReadingState.WITHHELD and deployment.active


def _said(session: Session, line: WorklistLine) -> Answers:
    session.flush()
    return answers_of(session, [line.id]).get(line.id, Answers())


def _opened(session: Session, line: WorklistLine) -> Answers:
    said = _said(session, line)
    if said.opened is None:
        raise NotAllowed("nobody has opened this study; open it first: wardround node worklist open", code="not-opened")
    return said


def _keep(
    session: Session,
    line: WorklistLine,
    verb: AnswerVerb,
    actor: str,
    at: datetime,
    *,
    shown: bool,
    found: bool | None = None,
    reason: str = "",
    label: bool = False,
    corrected: Corrected | None = None,
) -> None:
    row = WorklistAnswer(
        line=line.id, verb=verb, actor=actor, shown=shown, found=found, reason=reason, label=label, at=at
    )
    told = f"deployment {line.deployment} {reason}".strip()
    if corrected is not None:
        row.outline, row.overlap = corrected.outline, corrected.overlap
        told += f", outline drawn, overlap with the model's {corrected.overlap:.3f}"
    session.add(row)
    audit.record(session, actor, verb, line.study, told, clock=lambda: at)
