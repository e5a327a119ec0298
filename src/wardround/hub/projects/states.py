"""The states of a project at the hub, who owns each, and what may follow.

Of these a draft, a submitted and a withdrawn project are stored; the others follow from the runs and the date
(`state_now`), so that none can be stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class ProjectState(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    RUNNING = "running"
    FINISHED = "finished"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


OWNERS = {
    ProjectState.DRAFT: "the researcher",
    ProjectState.SUBMITTED: "each hospital's data controller; the researcher starts a run once a quorum approved",
    ProjectState.RUNNING: "the hub: a run is under way",
    ProjectState.FINISHED: "nobody: the runs that it asked for are over",
    ProjectState.WITHDRAWN: "nobody: it was ended for every hospital",
    ProjectState.EXPIRED: "nobody: its last day is past",
}

_OVER = frozenset({ProjectState.WITHDRAWN, ProjectState.EXPIRED})

TRANSITIONS = {
    ProjectState.DRAFT: frozenset({ProjectState.SUBMITTED}) | _OVER,
    ProjectState.SUBMITTED: frozenset({ProjectState.RUNNING}) | _OVER,
    ProjectState.RUNNING: frozenset({ProjectState.SUBMITTED, ProjectState.FINISHED}) | _OVER,
    ProjectState.FINISHED: _OVER,
    ProjectState.WITHDRAWN: frozenset[ProjectState](),
    ProjectState.EXPIRED: frozenset({ProjectState.WITHDRAWN}),
}


def check_transition(project: str, old: ProjectState, new: ProjectState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"project {project} is {old} (with {OWNERS[old]}) and can't become {new}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state of a project follows from: what is stored, its last day, how many runs it asked for, how many were
    started, and whether one of them isn't over."""

    stored: ProjectState
    ends: date
    runs: int
    started: int = 0
    running: bool = False


def state_now(facts: Facts, today: date) -> ProjectState:
    """The one state that the facts give on a day."""
    if facts.stored is ProjectState.WITHDRAWN:
        return ProjectState.WITHDRAWN
    if facts.ends < today:
        return ProjectState.EXPIRED
    if facts.stored is ProjectState.DRAFT:
        return ProjectState.DRAFT
    if facts.running:
        return ProjectState.RUNNING
    return ProjectState.FINISHED if facts.started >= facts.runs else ProjectState.SUBMITTED
