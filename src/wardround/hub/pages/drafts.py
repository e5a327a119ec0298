"""The pages of projects: what is drafted, what each hospital told and decided; count, submit, end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wardround.contracts.project import Project
from wardround.contracts.project_words import in_words
from wardround.foundation.errors import WardroundError
from wardround.hub.cohorts.queries import newest, standing
from wardround.hub.home import HubHome
from wardround.hub.projects import actions, queries
from wardround.hub.projects.queries import SiteDecision
from wardround.hub.projects.states import OWNERS, ProjectState
from wardround.hub.projects.tables import ProjectRow
from wardround.hub.projects.withdrawal import withdraw
from wardround.hub.runs.queries import runs
from wardround.hub.sites.queries import members
from wardround.ui.forms import code_of, grouped
from wardround.ui.page import Moved, Shown, Visit

LOOKED_THROUGH = 200
"""So many of the newest questions are looked through for this project's own."""


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
    return Shown("drafts.html", {"lines": found, "owners": OWNERS, "done": visit.asked("done")})


def project(home: HubHome, visit: Visit) -> Shown:
    name = visit.path["project"]
    today = visit.at.date()
    with home.database.reading() as session:
        row = queries.row_of(session, name)
        asked, state = queries.project_of(session, name), queries.state_of(session, name, today)
        decisions = {one.site: one for one in queries.decisions(session, name)}
        counts = queries.counts(session, asked)
        sites = members(session)
        mine = [run for run in runs(session) if run.project == name]
        question = next((one for one in newest(session, LOOKED_THROUGH) if one.project == name), None)
        counting = None if question is None else standing(session, question.id)
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
        "runs": mine,
        "draft": state is ProjectState.DRAFT,
        "over": state in (ProjectState.WITHDRAWN, ProjectState.EXPIRED),
        "may_count": visit.may("ask-counts", name),
        "may_submit": visit.may("submit-project", name),
        "may_end": visit.may("end-project", name),
        "done": visit.asked("done"),
    }
    return Shown("draft.html", values)


def count(home: HubHome, visit: Visit) -> Moved:
    """By the same verb as `wardround project count`; the answers come in by themselves."""
    name = visit.path["project"]
    with home.database.writing() as session:
        actions.ask_counts(session, name, actor=visit.by, at=visit.at)
    return Moved(f"/projects/{name}?done=asked")


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
