"""The states of a project at a node, who owns each, and what may follow."""

from __future__ import annotations

from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class DecisionState(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"


OWNERS = {
    DecisionState.WAITING: "this hospital's data controller",
    DecisionState.APPROVED: "the researcher, within what was approved",
    DecisionState.REFUSED: "nobody: it is over here",
}

TRANSITIONS = {
    DecisionState.WAITING: frozenset({DecisionState.APPROVED, DecisionState.REFUSED}),
    DecisionState.APPROVED: frozenset[DecisionState](),
    DecisionState.REFUSED: frozenset[DecisionState](),
}


def check_transition(project: str, old: DecisionState, new: DecisionState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"project {project} was {old} here already and can't become {new}")
