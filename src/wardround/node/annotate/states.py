"""What becomes of a label."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from wardround.foundation.errors import Conflict


class LabelState(StrEnum):
    """A saved label waits for a decision; an accepted one is the enclave's until another one is accepted."""

    SAVED = "saved"
    ACCEPTED = "accepted"
    REPLACED = "replaced"
    REJECTED = "rejected"


TRANSITIONS: Mapping[LabelState, frozenset[LabelState]] = {
    LabelState.SAVED: frozenset({LabelState.ACCEPTED, LabelState.REJECTED}),
    LabelState.ACCEPTED: frozenset({LabelState.REPLACED}),
    LabelState.REPLACED: frozenset({LabelState.ACCEPTED}),
    LabelState.REJECTED: frozenset({LabelState.ACCEPTED}),
}

IN_WORDS: Mapping[LabelState, str] = {
    LabelState.SAVED: "waits for somebody else than its author to decide",
    LabelState.ACCEPTED: "is the enclave's reference for its series",
    LabelState.REPLACED: "was the reference, until another one was accepted",
    LabelState.REJECTED: "isn't used; its case is offered again",
}


def check_step(before: LabelState, after: LabelState) -> None:
    """Raises `Conflict` where a label can't go from the one state to the other."""
    if after not in TRANSITIONS[before]:
        raise Conflict(f"a label that is {before} can't become {after}")
