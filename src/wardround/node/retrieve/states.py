"""How far a pull and each of its studies have come, and what may follow.

```
queued ── finding ─┬─ absent      the PACS has no such study
   ↑         │     ├─ split       several studies; each goes on as an item of its own
   └─────────┤     └─ found ── moving ── waiting ─┬─ done      the count that the PACS states is here
             │          ↑         │         │     │
           failed       └─────────┴─────────┘   failed         tried as often as allowed
```

Each that isn't at its end may be cancelled. A step back is a further try, or what a crash left half-done.
"""

from __future__ import annotations

from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class JobState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FINISHED = "finished"


class StudyState(StrEnum):
    QUEUED = "queued"
    FINDING = "finding"
    FOUND = "found"
    MOVING = "moving"
    WAITING = "waiting"
    DONE = "done"
    ABSENT = "absent"
    SPLIT = "split"
    FAILED = "failed"
    CANCELLED = "cancelled"


IN_WORDS = {
    StudyState.QUEUED: "waits to be looked for",
    StudyState.FINDING: "is being looked for",
    StudyState.FOUND: "is in the PACS and waits for its turn",
    StudyState.MOVING: "is being sent by the PACS",
    StudyState.WAITING: "was sent; not all of it is here yet",
    StudyState.DONE: "is here whole",
    StudyState.ABSENT: "is not in the PACS",
    StudyState.SPLIT: "is several studies, which go on each for itself",
    StudyState.FAILED: "could not be had",
    StudyState.CANCELLED: "was cancelled",
}

JOB_STEPS = {
    JobState.RUNNING: frozenset({JobState.PAUSED, JobState.CANCELLED, JobState.FINISHED}),
    JobState.PAUSED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.CANCELLED: frozenset[JobState](),
    JobState.FINISHED: frozenset[JobState](),
}

_S = StudyState
STUDY_STEPS = {
    _S.QUEUED: frozenset({_S.FINDING, _S.CANCELLED}),
    _S.FINDING: frozenset({_S.QUEUED, _S.FOUND, _S.ABSENT, _S.SPLIT, _S.DONE, _S.FAILED, _S.CANCELLED}),
    _S.FOUND: frozenset({_S.MOVING, _S.CANCELLED}),
    _S.MOVING: frozenset({_S.FOUND, _S.WAITING, _S.DONE, _S.ABSENT, _S.FAILED, _S.CANCELLED}),
    _S.WAITING: frozenset({_S.FOUND, _S.DONE, _S.FAILED, _S.CANCELLED}),
    _S.DONE: frozenset[StudyState](),
    _S.ABSENT: frozenset[StudyState](),
    _S.SPLIT: frozenset[StudyState](),
    _S.FAILED: frozenset[StudyState](),
    _S.CANCELLED: frozenset[StudyState](),
}
ENDS = frozenset(state for state, after in STUDY_STEPS.items() if not after)
NOT_HAD = frozenset({_S.ABSENT, _S.FAILED, _S.CANCELLED})


def check_job(old: JobState, new: JobState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in JOB_STEPS[old]:
        raise NotAllowed(f"a pull that is {old} can't become {new}")


def check_study(old: StudyState, new: StudyState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in STUDY_STEPS[old]:
        raise NotAllowed(f"a study that {IN_WORDS[old]} can't become {new}")
