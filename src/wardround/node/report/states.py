"""How far an output has come, and what may follow."""

from __future__ import annotations

from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class OutputState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    COMMITTED = "committed"
    REFUSED = "refused"
    LOST = "lost"


IN_WORDS = {
    OutputState.WAITING: "waits to be sent",
    OutputState.SENT: "was taken by where it went",
    OutputState.COMMITTED: "is in the PACS, which has committed itself to keeping it",
    OutputState.REFUSED: "was refused for good by where it went",
    OutputState.LOST: "was lost here before it could be sent",
}

TRANSITIONS = {
    OutputState.WAITING: frozenset({OutputState.SENT, OutputState.REFUSED, OutputState.LOST}),
    # A PACS that took it and doesn't commit itself in time is sent it again.
    OutputState.SENT: frozenset({OutputState.COMMITTED, OutputState.WAITING}),
    OutputState.COMMITTED: frozenset[OutputState](),
    OutputState.REFUSED: frozenset[OutputState](),
    OutputState.LOST: frozenset[OutputState](),
}


def check_transition(old: OutputState, new: OutputState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"an output that {IN_WORDS[old]} can't become {new}")
