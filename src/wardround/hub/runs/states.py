"""The states of a run, what may follow each, and what a run waits for while it is there."""

from __future__ import annotations

from enum import StrEnum

from wardround.foundation.errors import NotAllowed


class RunState(StrEnum):
    GATHERING = "gathering"
    RUNNING = "running"
    COMPARING = "comparing"
    EVALUATING = "evaluating"
    FINISHED = "finished"
    STOPPED = "stopped"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        return self in (RunState.FINISHED, RunState.ENDED, RunState.FAILED)


WAITS_FOR = {
    RunState.GATHERING: "a quorum of sites to connect to the engine",
    RunState.RUNNING: "the engine's present leg",
    RunState.COMPARING: "each site's model trained alone, or a merge's statistics",
    RunState.EVALUATING: "each site's judgement of each model",
    RunState.FINISHED: "nothing: the model is registered",
    RunState.STOPPED: "a person, who resumes it with `wardround run resume` or ends it",
    RunState.ENDED: "nothing: a person ended it",
    RunState.FAILED: "nothing: see its reason",
}

TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.GATHERING: frozenset(
        {RunState.RUNNING, RunState.COMPARING, RunState.STOPPED, RunState.ENDED, RunState.FAILED}
    ),
    RunState.RUNNING: frozenset(
        {RunState.GATHERING, RunState.COMPARING, RunState.STOPPED, RunState.ENDED, RunState.FAILED}
    ),
    RunState.COMPARING: frozenset({RunState.COMPARING, RunState.EVALUATING, RunState.ENDED, RunState.FAILED}),
    RunState.EVALUATING: frozenset({RunState.EVALUATING, RunState.FINISHED, RunState.ENDED, RunState.FAILED}),
    RunState.STOPPED: frozenset({RunState.RUNNING, RunState.ENDED}),
    RunState.FINISHED: frozenset(),
    RunState.ENDED: frozenset(),
    RunState.FAILED: frozenset(),
}


def check_transition(run: str, old: RunState, new: RunState) -> None:
    """Raises `NotAllowed` where the table has no such step."""
    if new not in TRANSITIONS[old]:
        raise NotAllowed(f"run {run} is {old}, waiting for {WAITS_FOR[old]}, and can't become {new}")
