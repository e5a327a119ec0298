"""The states of a project at a node, who owns each, and what may follow.

No state is stored: each follows from what was decided, what was used and the date (`state_now`), so that none can be
stale, and an approval that ran out needs nobody to notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class DecisionState(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    RUNNING = "running"
    FINISHED = "finished"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


OWNERS = {
    DecisionState.WAITING: "this hospital's data controller",
    DecisionState.APPROVED: "the researcher, within what was approved",
    DecisionState.RUNNING: "the hub: a run uses this hospital's data",
    DecisionState.FINISHED: "nobody: the runs that were approved are over",
    DecisionState.REFUSED: "nobody: it is over here",
    DecisionState.WITHDRAWN: "nobody: it was taken back",
    DecisionState.EXPIRED: "nobody: its last day is past",
}

_OVER = frozenset({DecisionState.WITHDRAWN, DecisionState.EXPIRED})

TRANSITIONS = {
    DecisionState.WAITING: frozenset({DecisionState.APPROVED, DecisionState.REFUSED}) | _OVER,
    DecisionState.APPROVED: frozenset({DecisionState.RUNNING}) | _OVER,
    DecisionState.RUNNING: frozenset({DecisionState.APPROVED, DecisionState.FINISHED}) | _OVER,
    DecisionState.FINISHED: _OVER,
    DecisionState.REFUSED: frozenset[DecisionState](),
    DecisionState.WITHDRAWN: frozenset[DecisionState](),
    DecisionState.EXPIRED: frozenset[DecisionState](),
}

USABLE = frozenset({DecisionState.APPROVED, DecisionState.RUNNING, DecisionState.FINISHED})
"""The states in which the approval holds. What of it is left is counted, not a state."""


def check_transition(project: str, old: DecisionState, new: DecisionState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"project {project} is {old} here (with {OWNERS[old]}) and can't become {new}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state of one edition follows from. `approved`: None while nothing was decided; `until`: the last day of
    use; `runs`: how many may use data here, `begun` how many have, and `open` how many of those aren't over."""

    approved: bool | None
    withdrawn: bool
    until: date
    runs: int
    begun: int = 0
    open: int = 0


def state_now(facts: Facts, today: date) -> DecisionState:
    """The one state that the facts give on a day."""
    if facts.approved is False:
        return DecisionState.REFUSED
    if facts.withdrawn:
        return DecisionState.WITHDRAWN
    if facts.until < today:
        return DecisionState.EXPIRED
    if facts.approved is None:
        return DecisionState.WAITING
    if facts.open:
        return DecisionState.RUNNING
    return DecisionState.FINISHED if facts.begun >= facts.runs else DecisionState.APPROVED
