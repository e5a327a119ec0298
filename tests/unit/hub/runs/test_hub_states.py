"""Every step that a state table doesn't have is refused, and the refusal says how things stand."""

from __future__ import annotations

from itertools import product

import pytest

from wardround.foundation.errors import NotAllowed
from wardround.hub.projects.states import ProjectState
from wardround.hub.projects.states import check_transition as check_project
from wardround.hub.runs.states import WAITS_FOR, RunState
from wardround.hub.runs.states import check_transition as check_run
from wardround.node.clinic.states import ReadingState
from wardround.node.clinic.states import check_transition as check_reading
from wardround.node.projects.states import DecisionState
from wardround.node.projects.states import check_transition as check_decision

# Written out, not read from the code: what may follow what is a promise, and a new way must be added here too.
RUN_STEPS = {
    "gathering": {"running", "comparing", "stopped", "ended", "failed"},
    "running": {"gathering", "comparing", "stopped", "ended", "failed"},
    "comparing": {"comparing", "evaluating", "ended", "failed"},
    "evaluating": {"evaluating", "finished", "ended", "failed"},
    "stopped": {"running", "ended"},
}
PROJECT_STEPS = {
    "draft": {"submitted", "withdrawn", "expired"},
    "submitted": {"running", "withdrawn", "expired"},
    "running": {"submitted", "finished", "withdrawn", "expired"},
    "finished": {"withdrawn", "expired"},
    "expired": {"withdrawn"},
}
DECISION_STEPS = {
    "waiting": {"approved", "refused", "withdrawn", "expired"},
    "approved": {"running", "withdrawn", "expired"},
    "running": {"approved", "finished", "withdrawn", "expired"},
    "finished": {"withdrawn", "expired"},
}
READING_STEPS = {
    "waiting": {"read", "kept", "failed", "not-read", "out-of-scope"},
    "read": {"delivered", "failed", "withheld"},
    "withheld": {"delivered"},
}


@pytest.mark.parametrize(("old", "new"), list(product(RunState, RunState)))
def test_steps_of_a_run(old: RunState, new: RunState) -> None:
    if new in RUN_STEPS.get(old, set()):
        check_run("r-1", old, new)
        return
    with pytest.raises(NotAllowed) as refused:
        check_run("r-1", old, new)
    assert str(refused.value) == f"run r-1 is {old}, waiting for {WAITS_FOR[old]}, and can't become {new}"


def test_an_end_is_an_end() -> None:
    assert {state for state in RunState if state.over} == set(RunState) - set(RUN_STEPS)


@pytest.mark.parametrize(("old", "new"), list(product(ProjectState, ProjectState)))
def test_steps_of_a_project(old: ProjectState, new: ProjectState) -> None:
    if new in PROJECT_STEPS.get(old, set()):
        check_project("p", old, new)
        return
    with pytest.raises(NotAllowed, match=f"project p is {old} .* can't become {new}"):
        check_project("p", old, new)


@pytest.mark.parametrize(("old", "new"), list(product(DecisionState, DecisionState)))
def test_steps_of_a_decision(old: DecisionState, new: DecisionState) -> None:
    if new in DECISION_STEPS.get(old, set()):
        check_decision("p", old, new)
        return
    with pytest.raises(NotAllowed, match=f"project p is {old} here .* can't become {new}"):
        check_decision("p", old, new)


@pytest.mark.parametrize(("old", "new"), list(product(ReadingState, ReadingState)))
def test_steps_of_a_reading(old: ReadingState, new: ReadingState) -> None:
    if new in READING_STEPS.get(old, set()):
        check_reading(old, new)
        return
    with pytest.raises(NotAllowed, match=f"can't become {new}"):
        check_reading(old, new)
