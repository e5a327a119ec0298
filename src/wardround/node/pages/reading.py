"""The worklist as radiologists read it: the order and why, then one study, and their word on it.

What a model found is shown where its stage allows it, and not before: the page asks the same rule as the command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from wardround.contracts.stage import STAGES
from wardround.foundation.errors import NotAllowed
from wardround.node.clinic.answers import judge, line_of, open_study, report
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.order import worklist
from wardround.node.clinic.states import IN_WORDS, JUDGEMENTS, AnswerVerb, ReadingState
from wardround.node.clinic.tables import Deployment, WorklistLine
from wardround.node.desk import Desk
from wardround.node.pages.sight import sight_of
from wardround.ui.forms import code_of
from wardround.ui.page import Moved, Shown, Visit
from wardround.ui.viewer import WIDENED


def studies(desk: Desk, visit: Visit) -> Shown:
    """In the order in which to read them; with those that were judged where that is asked."""
    everything = visit.asked("all") == "yes"
    with desk.home.database.reading() as session:
        places = worklist(session, visit.at, answered=everything)
    return Shown("worklist.html", {"places": places, "everything": everything, "at": visit.at})


def study(desk: Desk, visit: Visit) -> Shown:
    with desk.home.database.reading() as session:
        seen = sight_of(session, visit)
        place = next((one for one in worklist(session, visit.at) if one.line.id == seen.line.id), None)
    line, deployment, said = seen.line, seen.deployment, seen.said
    stage = line.read_as or deployment.stage
    values = {
        "line": line,
        "deployment": deployment,
        "stage": STAGES[stage],
        "stage_name": stage,
        "said": said,
        "shown": seen.result,
        "examines": seen.examines,
        "viewing": seen.viewing,
        "gone": seen.images and not seen.kept,
        "outline": seen.outline,
        "why": "" if place is None else place.reason,
        "at": visit.at,
        "unseen": not any(row.shown for row in said.rows),
        "progress": IN_WORDS[ReadingState(line.state)] if seen.result or line.state == ReadingState.WAITING else "",
        "may_read": visit.may("read-study"),
        "done": visit.asked("done"),
    }
    return Shown("study.html", values, widened=WIDENED)


def opened(desk: Desk, visit: Visit) -> Moved:
    with _line(desk, visit) as (session, line, deployment):
        open_study(session, line, deployment, actor=visit.by, at=visit.at)
    return _back(line, deployment)


def reported(desk: Desk, visit: Visit) -> Moved:
    """A reading of one's own, before any model's result was shown."""
    if visit.field("found") not in ("yes", "no"):
        raise NotAllowed("say whether what the pathway looks for is there")
    found = visit.field("found") == "yes"
    with _line(desk, visit) as (session, line, deployment):
        report(session, line, deployment, found=found, actor=visit.by, at=visit.at)
    return _back(line, deployment, "reported")


def judged(desk: Desk, visit: Visit) -> Moved:
    """Agree, correct or reject; of all but an agreement with a reason."""
    verb = next((verb for verb in JUDGEMENTS if verb == visit.field("verb")), None)
    if verb is None:
        raise NotAllowed("agree with the result, correct or reject it")
    reason = "" if verb is AnswerVerb.AGREED else code_of(visit)
    with _line(desk, visit) as (session, line, deployment):
        label = Definitions(desk.home.pathways).labels(deployment.pathway)
        judge(session, line, deployment, verb, reason=reason, label=label, actor=visit.by, at=visit.at)
    return _back(line, deployment, "judged")


@contextmanager
def _line(desk: Desk, visit: Visit) -> Iterator[tuple[Session, WorklistLine, Deployment]]:
    """The study's line in a writing transaction."""
    with desk.home.database.writing() as session:
        yield (session, *line_of(session, visit.path["study"], visit.field("pathway") or None))


def _back(line: WorklistLine, deployment: Deployment, done: str = "") -> Moved:
    return Moved(f"/worklist/{line.study}?pathway={deployment.pathway}&done={done}")
