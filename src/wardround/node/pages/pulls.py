"""Pulls from the PACS: each with how far it is and what couldn't be had and why; order one, pause, go on, end it.

No list names a study. Who asks for the names of those that weren't had is in the audit, as with the command's report.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from wardround.foundation.errors import NotAllowed, NotFound, WardroundError
from wardround.node.desk import Desk
from wardround.node.projects import queries
from wardround.node.projects.standing import standing_of
from wardround.node.receive.route import StudyPath
from wardround.node.retrieve import actions, report
from wardround.node.retrieve.asks import Ask, asks_in, check
from wardround.node.retrieve.hours import Hours
from wardround.node.retrieve.reasons import IN_WORDS
from wardround.node.retrieve.states import IN_WORDS as STATES
from wardround.node.retrieve.states import JobState
from wardround.node.retrieve.wiring import sealing_at
from wardround.ui.forms import whole
from wardround.ui.page import Moved, Shown, Visit

LARGEST = 4 * 1024 * 1024
"""Bytes of an order: a hundred thousand accession numbers fit."""
SHOWN = 100
MOST_NAMED = 500
_LIST = "the list"


def pulls(desk: Desk, visit: Visit) -> Shown:
    """The newest first, and the form to order one."""
    settings = desk.home.settings.retrieve
    pacs = settings.pacs or desk.home.settings.pacs
    with desk.home.database.reading() as session:
        asked = [row.id for row in queries.projects(session) if visit.may("see-asked", row.id)]
    values = {
        "views": report.jobs(desk.home.database),
        "reasons": IN_WORDS,
        "pacs": pacs,
        "settings": settings,
        "open": Hours.parse(settings.hours, settings.time_zone).open_at(visit.at),
        "projects": asked,
        "paths": list(StudyPath),
        "titles": desk.home.settings.dicom,
        "may_pull": visit.may("pull-studies"),
    }
    return Shown("pulls.html", values)


def pull(desk: Desk, visit: Visit, names: Sequence[dict[str, Any]] | None = None) -> Shown:
    """One pull: how far it is, and its studies without their names; those alone that weren't had but where all are
    asked for."""
    number, everything = _number(visit.path["number"]), visit.asked("all") == "yes"
    after = _number(visit.asked("after") or "0")
    view = report.job(desk.home.database, number)
    lines = report.lines(desk.home.database, number, not_had=not everything, after=after, most=SHOWN + 1)
    settings = desk.home.settings.retrieve
    values = {
        "view": view,
        "lines": lines[:SHOWN],
        "next": lines[SHOWN - 1].row if len(lines) > SHOWN else None,
        "after": after,
        "everything": everything,
        "names": names,
        "named": MOST_NAMED,
        "reasons": IN_WORDS,
        "states": STATES,
        "running": view.state == JobState.RUNNING,
        "paused": view.state == JobState.PAUSED,
        "pacs": settings.pacs or desk.home.settings.pacs,
        "open": Hours.parse(settings.hours, settings.time_zone).open_at(visit.at),
        "settings": settings,
        "may_pull": visit.may("pull-studies"),
        "done": visit.asked("done"),
    }
    return Shown("pull.html", values)


def named(desk: Desk, visit: Visit) -> Shown:
    """The page, with what those were asked for by that weren't had. Audited."""
    number = _number(visit.path["number"])
    rows = report.named(
        desk.home.database,
        sealing_at(desk.home),
        number,
        not_had=True,
        most=MOST_NAMED,
        actor=visit.by,
        clock=lambda: visit.at,
    )
    return pull(desk, visit, rows)


def order(desk: Desk, visit: Visit) -> Moved:
    """By the same verb as `wardround node pull`.

    Raises:
        AskRefused: nothing is asked, or something that can't be; the text names the line.
        NotAllowed: the days or the path can't be read, or both a list and a project were given.
    """
    path = next((one for one in StudyPath if one == visit.field("path")), None)
    if path is None:
        raise NotAllowed(f"say what the studies are for: {' or '.join(StudyPath)}")
    number = actions.order(
        desk.home.database, sealing_at(desk.home), _asks(desk, visit), path, actor=visit.by, clock=lambda: visit.at
    )
    return Moved(f"/pulls/{number}?done=ordered")


def pause(desk: Desk, visit: Visit) -> Moved:
    number = _number(visit.path["number"])
    actions.pause(desk.home.database, number, actor=visit.by, clock=lambda: visit.at)
    return Moved(f"/pulls/{number}?done=paused")


def resume(desk: Desk, visit: Visit) -> Moved:
    number = _number(visit.path["number"])
    actions.resume(desk.home.database, number, actor=visit.by, clock=lambda: visit.at)
    return Moved(f"/pulls/{number}?done=resumed")


def cancel(desk: Desk, visit: Visit) -> Moved:
    number = _number(visit.path["number"])
    actions.cancel(desk.home.database, number, actor=visit.by, clock=lambda: visit.at)
    return Moved(f"/pulls/{number}?done=cancelled")


def _asks(desk: Desk, visit: Visit) -> list[Ask]:
    """What the form asks for: its list, or the cohort question of a project that is before this hospital."""
    first, last = _day(visit, "from"), _day(visit, "to")
    text, project = visit.field("list"), visit.field("project")
    if text and project:
        raise NotAllowed("give a list or a project's cohort, and order the other in a pull of its own")
    modality = visit.field("modality")
    if not project:
        return asks_in(text, _LIST, first=first, last=last, modality=modality)
    if not visit.may("see-asked", project):
        raise NotFound(f"there is no project {project} here that you may see")
    with desk.home.database.reading() as session:
        row = next((one for one in queries.projects(session) if one.id == project), None)
        if row is None:
            raise NotFound(f"there is no project {project} here that you may see")
        try:
            question = standing_of(session, row, visit.at.date()).project.cohort
        except WardroundError:
            raise NotAllowed(f"this version can't read what project {project} asks; take a newer one") from None
    return [check(Ask(question=question, first=first, last=last, modality=modality), f"the cohort of {project}")]


def _day(visit: Visit, name: str) -> date | None:
    text = visit.field(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise NotAllowed(f"{name}: a day is written as 2025-01-31") from None


def _number(text: str) -> int:
    if (number := whole(text)) is None:
        raise NotFound(f"there is no pull {text!r}; the page Pulls lists them")
    return number
