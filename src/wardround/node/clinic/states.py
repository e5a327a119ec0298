"""How far a study on the clinical path has come, and what may follow."""

from __future__ import annotations

from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class ReadingState(StrEnum):
    WAITING = "waiting"
    READ = "read"
    DELIVERED = "delivered"
    FAILED = "failed"
    NOT_READ = "not-read"
    WITHHELD = "withheld"


IN_WORDS = {
    ReadingState.WAITING: "waits for the model",
    ReadingState.READ: "read; its result waits for the PACS",
    ReadingState.DELIVERED: "result is in the PACS",
    ReadingState.FAILED: "the model gave no result; the study keeps its normal order",
    ReadingState.NOT_READ: "not read: model suspended; the study keeps its normal order",
    ReadingState.WITHHELD: "read, and its result held back: model suspended",
}

TRANSITIONS = {
    ReadingState.WAITING: frozenset({ReadingState.READ, ReadingState.FAILED, ReadingState.NOT_READ}),
    ReadingState.READ: frozenset({ReadingState.DELIVERED, ReadingState.FAILED, ReadingState.WITHHELD}),
    ReadingState.DELIVERED: frozenset[ReadingState](),
    ReadingState.FAILED: frozenset[ReadingState](),
    ReadingState.NOT_READ: frozenset[ReadingState](),
    # It was on its way when the model was suspended, and the PACS has taken it.
    ReadingState.WITHHELD: frozenset({ReadingState.DELIVERED}),
}


def check_transition(old: ReadingState, new: ReadingState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"a study that {IN_WORDS[old]} can't become {new}")
