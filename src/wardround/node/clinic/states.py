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
    KEPT = "kept"
    OUT_OF_SCOPE = "out-of-scope"
    ELSEWHERE = "elsewhere"


IN_WORDS = {
    ReadingState.WAITING: "waits for the model",
    ReadingState.READ: "read; its result waits for the PACS",
    ReadingState.DELIVERED: "result is in the PACS",
    ReadingState.FAILED: "the model gave no result; the study keeps its normal order",
    ReadingState.NOT_READ: "not read: model suspended; the study keeps its normal order",
    ReadingState.WITHHELD: "read, and its result held back: model suspended",
    ReadingState.KEPT: "read; its result stays at this node",
    ReadingState.OUT_OF_SCOPE: "out of scope, never read; the study keeps its normal order",
    ReadingState.ELSEWHERE: "none of the pathway's studies",
}

WITH_RESULT = frozenset({ReadingState.READ, ReadingState.DELIVERED, ReadingState.WITHHELD, ReadingState.KEPT})
"""The model read it, whatever became of the result."""
COUNTED = WITH_RESULT | {ReadingState.FAILED}
"""What tells how a model does: it was given the study, and gave a result or failed."""

TRANSITIONS = {
    ReadingState.WAITING: frozenset(
        {ReadingState.READ, ReadingState.KEPT, ReadingState.FAILED, ReadingState.NOT_READ, ReadingState.OUT_OF_SCOPE}
    ),
    ReadingState.READ: frozenset({ReadingState.DELIVERED, ReadingState.FAILED, ReadingState.WITHHELD}),
    ReadingState.DELIVERED: frozenset[ReadingState](),
    ReadingState.FAILED: frozenset[ReadingState](),
    ReadingState.NOT_READ: frozenset[ReadingState](),
    # It was on its way when the model was suspended, and the PACS has taken it.
    ReadingState.WITHHELD: frozenset({ReadingState.DELIVERED}),
    ReadingState.KEPT: frozenset[ReadingState](),
    ReadingState.OUT_OF_SCOPE: frozenset[ReadingState](),
    ReadingState.ELSEWHERE: frozenset[ReadingState](),
}


class AnswerVerb(StrEnum):
    """What a person did with a study on the worklist, in the audit's words."""

    OPENED = "open-study"
    FOUND = "report-finding"
    AGREED = "agree-with-result"
    CORRECTED = "correct-result"
    REJECTED = "reject-result"


JUDGEMENTS = frozenset({AnswerVerb.AGREED, AnswerVerb.CORRECTED, AnswerVerb.REJECTED})
"""What is said of a result that was shown; the last one counts, and all are kept."""


def check_transition(old: ReadingState, new: ReadingState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"a study that {IN_WORDS[old]} can't become {new}")
