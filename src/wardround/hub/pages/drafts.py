"""The pages of projects: what is drafted, what each hospital told and decided; count, submit, end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from wardround.contracts.disclosure import UNTOLD
from wardround.contracts.project import Project
from wardround.contracts.project_words import in_words
from wardround.contracts.task import Axis
from wardround.foundation.errors import NotAllowed, NotFound, WardroundError
from wardround.hub.cohorts.actions import TAKEN_BACK, take_back
from wardround.hub.cohorts.queries import Standing, newest, spent, standing
from wardround.hub.home import HubHome
from wardround.hub.projects import actions, queries
from wardround.hub.projects.queries import SiteDecision
from wardround.hub.projects.states import OWNERS, ProjectState
from wardround.hub.projects.tables import ProjectRow
from wardround.hub.projects.withdrawal import withdraw
from wardround.hub.runs.actions import check_may_start
from wardround.hub.runs.paid import paid_by
from wardround.hub.runs.queries import runs
from wardround.hub.runs.starting import SECONDS, Beginnings
from wardround.hub.sites.queries import members
from wardround.people.rights import can_may_somewhere
from wardround.ui.forms import code_of, grouped
from wardround.ui.page import Moved, Shown, Visit

DAY = timedelta(hours=24)
AXES: TypeAdapter[tuple[Axis, ...]] = TypeAdapter(tuple[Axis, ...])
REFUSALS = {
    "question-budget-today": "its researcher has asked all that this hospital answers in 24 hours; ask tomorrow",
    "question-budget-spent": "its researcher has asked all that this hospital answers for a project",
    "questions-of-all-today": "everybody together has asked all that this hospital answers in 24 hours; ask tomorrow",
    "no-records": "this hospital has loaded no health records; ask for images alone",
    TAKEN_BACK: "the question was taken back before this hospital answered",
}
"""Why a hospital told no number, in words."""


@dataclass(frozen=True, slots=True)
class Line:
    """A project in the list. `asked` and `state` are None of one that can't be read any more, of which `fault` says."""

    row: ProjectRow
    asked: Project | None
    state: ProjectState | None
    decided: Sequence[SiteDecision]
    fault: str = ""


def projects(home: HubHome, visit: Visit) -> Shown:
    """The newest first."""
    found = []
    with home.database.reading() as session:
        for row in reversed(queries.projects(session)):
            if not visit.may("see-drafts", row.id):
                continue
            try:
                asked = queries.project_of(session, row.id)
                state = queries.state_of(session, row.id, visit.at.date())
                decided = queries.decisions(session, row.id)
            except WardroundError as error:
                found.append(Line(row, None, None, (), str(error)))
            else:
                found.append(Line(row, asked, state, decided))
    may_draft = can_may_somewhere(visit.somebody, "draft-project")
    return Shown("drafts.html", {"lines": found, "owners": OWNERS, "may_draft": may_draft})


def project(home: HubHome, beginnings: Beginnings, visit: Visit) -> Shown:
    name = visit.path["project"]
    today = visit.at.date()
    with home.database.reading() as session:
        row = queries.row_of(session, name)
        asked, state = queries.project_of(session, name), queries.state_of(session, name, today)
        decisions = {one.site: one for one in queries.decisions(session, name)}
        counts = queries.counts(session, asked)
        sites = members(session)
        paid = paid_by(session, name) if asked.plan.patient_privacy is not None else ()
        mine = [run for run in runs(session) if run.project == name]
        question = next(iter(newest(session, 1, project=name)), None)
        counting = None if question is None else standing(session, question.id)
        asker = asked.researcher
        used = spent(session, asker, name, since=visit.at - DAY), spent(session, asker, name)
        try:
            able, unable = check_may_start(session, name, today), ""
        except WardroundError as refusal:
            able, unable = [], str(refusal)
    values = {
        "row": row,
        "asked": asked,
        "state": state,
        "owner": OWNERS[state],
        "words": grouped(in_words(asked)),
        "sites": sorted({*sites, *decisions, *counts}),
        "decisions": decisions,
        "decided": {site: one.in_words(today) for site, one in decisions.items()},
        "counts": counts,
        "counting": counting,
        "stale": counting is not None and counting.asked.digest != asked.cohort.content_digest(),
        "told": [] if counting is None else [(axis, _groups(counting, axis)) for axis in counting.asked.by],
        "refusals": REFUSALS,
        "axes": get_args(Axis),
        "used": used,
        "able": able,
        "unable": unable,
        "runs": mine,
        "paid": paid,
        "rounds": asked.runs * asked.plan.rounds,
        "beginning": beginnings.of(name),
        "longest": SECONDS,
        "at": visit.at,
        "draft": state is ProjectState.DRAFT,
        "over": state in (ProjectState.WITHDRAWN, ProjectState.EXPIRED),
        "may_count": visit.may("ask-counts", name),
        "may_edit": visit.may("draft-project", name),
        "may_start": visit.may("start-run", name),
        "may_stop": visit.may("stop-run", name),
        "may_submit": visit.may("submit-project", name),
        "may_end": visit.may("end-project", name),
        "done": visit.asked("done"),
    }
    return Shown("draft.html", values)


def count(home: HubHome, visit: Visit) -> Moved:
    """By the same verb as `wardround project count`; the answers come in by themselves."""
    name = visit.path["project"]
    try:
        by = AXES.validate_python(tuple(dict.fromkeys(visit.form.get("by", ()))))
    except ValidationError:
        raise NotAllowed(f"an answer is broken down by any of {', '.join(get_args(Axis))}") from None
    with home.database.writing() as session:
        actions.ask_counts(session, name, by=by, actor=visit.by, at=visit.at)
    return Moved(f"/projects/{name}?done=asked")


def take_back_count(home: HubHome, visit: Visit) -> Moved:
    """Of the project's newest question; what hospitals told already stays."""
    name = visit.path["project"]
    with home.database.writing() as session:
        question = next(iter(newest(session, 1, project=name)), None)
        if question is None:
            raise NotFound(f"nothing was asked for project {name} yet")
        take_back(session, question.id, actor=visit.by, at=visit.at)
    return Moved(f"/projects/{name}?done=taken-back")


def start(beginnings: Beginnings, visit: Visit) -> Moved:
    """By the same function as `wardround run start`, which goes on beside; the project's page says how far it is."""
    name = visit.path["project"]
    beginnings.begin(name, actor=visit.by, at=visit.at)
    return Moved(f"/projects/{name}#runs")


def give_up(beginnings: Beginnings, visit: Visit) -> Moved:
    """A run that is being begun; what has begun is stopped or ended on its own page."""
    name = visit.path["project"]
    beginnings.give_up(name, actor=visit.by, at=visit.at)
    return Moved(f"/projects/{name}#runs")


def submit(home: HubHome, visit: Visit) -> Moved:
    name = visit.path["project"]
    with home.database.writing() as session:
        actions.submit(session, name, actor=visit.by, at=visit.at)
    return Moved(f"/projects/{name}?done=submitted")


def end(home: HubHome, visit: Visit) -> Moved:
    name, reason = visit.path["project"], code_of(visit)
    with home.database.writing() as session:
        withdraw(session, name, reason, actor=visit.by, at=visit.at)
    return Moved(f"/projects/{name}?done=ended")


def _groups(counting: Standing, axis: str) -> list[tuple[str, list[str], str]]:
    """Each group of an axis: at each hospital that answered what it told, and all together."""
    answered = [site for site in counting.sites if site.state == "told"]
    told = [{part.value: part.people.in_words() for part in site.parts if part.axis == axis} for site in answered]
    return [
        (name, [groups.get(name, UNTOLD) for groups in told], people.in_words())
        for name, people in counting.groups(axis).items()
    ]
