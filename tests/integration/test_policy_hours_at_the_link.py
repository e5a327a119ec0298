"""Tasks that come outside the hours of work wait for them, and hold up nothing meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from queue import Queue

import pytest
from tests.federation_lab import PATIENCE, HubLab, eventually

from wardround.contracts.cohort_builder import patients
from wardround.contracts.task import CountCohort, EndRun, EvaluateModel
from wardround.foundation.clock import now
from wardround.foundation.errors import NotAllowed
from wardround.node.gateway.gateway import Gateway
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.link import PUT_OFF_FOR, TASKS_AT_ONCE, Link
from wardround.node.policy.file import PolicyUnusable
from wardround.node.policy.verdict import OutsideHours


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    made = HubLab(tmp_path_factory.mktemp("hours"))
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("reason", [OutsideHours("not now"), PolicyUnusable("a typo")], ids=["hours", "typo"])
def test_work_waits_for_its_hour_and_other_tasks_dont_wait_for_it(lab: HubLab, reason: NotAllowed) -> None:
    home = lab.node(f"night-{type(reason).__name__.lower()}")
    later = [timedelta(0)]
    allowed = threading.Event()
    begun: Queue[int] = Queue()

    def evaluate(_task: EvaluateModel) -> None:
        begun.put(1)
        if not allowed.is_set():
            raise reason

    handlers = TaskHandlers()
    handlers.register(EvaluateModel)(evaluate)
    handlers.register(CountCohort)(lambda _task: None)
    asked = {"project": "p1", "project_digest": "a" * 64, "run": "r1", "model": "b" * 64}
    waiting = [
        lab.ask(home.site, EvaluateModel.model_validate({**asked, "label": f"local:s{number}"}))
        for number in range(TASKS_AT_ONCE + 4)
    ]
    link = Link(home, Gateway(home), handlers, clock=lambda: now() + later[0], poll_seconds=0.2)
    link.start()
    try:
        for _ in waiting:
            begun.get(timeout=PATIENCE)
        other = lab.ask(home.site, CountCohort(project="p1", question=patients.of_sex("F").question()))
        eventually(lambda: lab.task_state(other) == ("done", None))
        assert {lab.task_state(number)[0] for number in waiting} == {"queued"}
        assert begun.empty(), "it isn't tried again at once"
        allowed.set()
        later[0] += PUT_OFF_FOR
        for number in waiting:
            eventually(lambda number=number: lab.task_state(number) == ("done", None))
    finally:
        link.stop()


def test_what_is_put_off_is_taken_up_again_after_a_restart(lab: HubLab, tmp_path: Path) -> None:
    home = lab.node("restarted-at-night")
    number = lab.ask(home.site, EndRun(project="p1", run="r1"))
    begun = threading.Event()

    def not_now(_task: EndRun) -> None:
        begun.set()
        raise OutsideHours("not now")

    for handler in (not_now, lambda _task: None):
        handlers = TaskHandlers()
        handlers.register(EndRun)(handler)
        link = Link(home, Gateway(home), handlers, poll_seconds=55)
        link.start()
        assert begun.wait(PATIENCE)
        if handler is not not_now:
            eventually(lambda: lab.task_state(number) == ("done", None))
        link.stop()
