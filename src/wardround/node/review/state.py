"""The states of a question to a person about an image, and what may follow."""

from __future__ import annotations

from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class ReviewState(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    REDACTED = "redacted"
    REFUSED = "refused"


TRANSITIONS = {
    ReviewState.WAITING: frozenset({ReviewState.APPROVED, ReviewState.REDACTED, ReviewState.REFUSED}),
    ReviewState.APPROVED: frozenset[ReviewState](),
    ReviewState.REDACTED: frozenset[ReviewState](),
    ReviewState.REFUSED: frozenset[ReviewState](),
}
"""A decision stands: its object may be in the enclave already, and in a frozen cohort."""


def check_transition(number: int, old: ReviewState, new: ReviewState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"review {number} was decided already: {old}; a decision stands")
