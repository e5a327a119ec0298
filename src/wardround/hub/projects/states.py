"""The states of a project at the hub, who owns each, and what may follow."""

from __future__ import annotations

from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class ProjectState(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    WITHDRAWN = "withdrawn"


OWNERS = {
    ProjectState.DRAFT: "the researcher",
    ProjectState.SUBMITTED: "each hospital's data controller",
    ProjectState.WITHDRAWN: "nobody: it is over",
}

TRANSITIONS = {
    ProjectState.DRAFT: frozenset({ProjectState.SUBMITTED, ProjectState.WITHDRAWN}),
    ProjectState.SUBMITTED: frozenset({ProjectState.WITHDRAWN}),
    ProjectState.WITHDRAWN: frozenset[ProjectState](),
}


def check_transition(project: str, old: ProjectState, new: ProjectState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"project {project} is {old} (with {OWNERS[old]}) and can't become {new}")
