"""How far a study on the clinical path has come, and what may follow."""

from __future__ import annotations

from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class ReadingState(StrEnum):
    WAITING = "waiting"
    READ = "read"
    DELIVERED = "delivered"
    FAILED = "failed"


IN_WORDS = {
    ReadingState.WAITING: "waits for the model",
    ReadingState.READ: "read; its result waits for the PACS",
    ReadingState.DELIVERED: "result is in the PACS",
    ReadingState.FAILED: "the model gave no result; the study keeps its normal order",
}

TRANSITIONS = {
    ReadingState.WAITING: frozenset({ReadingState.READ, ReadingState.FAILED}),
    ReadingState.READ: frozenset({ReadingState.DELIVERED, ReadingState.FAILED}),
    ReadingState.DELIVERED: frozenset[ReadingState](),
    ReadingState.FAILED: frozenset[ReadingState](),
}


def check_transition(old: ReadingState, new: ReadingState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"a study that {IN_WORDS[old]} can't become {new}")
