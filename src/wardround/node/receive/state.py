"""The states of a received instance, and every step between them that is allowed.

```
arrives ─┬─ research ─ received ─┬─ deidentified   the de-identified copy is in the enclave, the original is gone
         │                       ├─ review         a person looks at its pixels: then received again, or refused
         │                       └─ refused        stays in quarantine with its reason
         ├─ clinic ─── clinical ─── purged         and clinical again when it is sent again
         ├──────────── refused                     at the door, with its reason
         └──────────── discarded                   by a rule of routing, with its reason; nothing is kept of it
```

An instance whose file was lost from the disk begins anew when it is sent again.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    RECEIVED = "received"
    REVIEW = "review"
    DEIDENTIFIED = "deidentified"
    REFUSED = "refused"
    CLINICAL = "clinical"
    PURGED = "purged"
    DISCARDED = "discarded"


FIRST = frozenset({State.RECEIVED, State.CLINICAL, State.REFUSED, State.DISCARDED})
TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.DEIDENTIFIED, State.REVIEW, State.REFUSED, State.RECEIVED}),
    State.REVIEW: frozenset({State.RECEIVED, State.REFUSED}),
    State.CLINICAL: frozenset({State.PURGED, State.CLINICAL}),
    State.PURGED: frozenset({State.CLINICAL}),
    State.DEIDENTIFIED: frozenset(),
    State.DISCARDED: frozenset(),
    State.REFUSED: frozenset({State.RECEIVED, State.CLINICAL}),
}


class WrongStep(RuntimeError):
    """A step between two states that isn't in the table: a mistake in this program."""


def check_step(before: State | None, after: State) -> None:
    """Let a step pass that is in the table; `None` is the moment before an instance arrives.

    Raises:
        WrongStep: it isn't.
    """
    if after not in (FIRST if before is None else TRANSITIONS[before]):
        raise WrongStep(f"an instance doesn't go from {before or 'arrival'} to {after}")
