"""Two runs of two projects at one hospital at once: neither gets anything of the other's, nor pays for its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import select
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab, ToyWorker, task

from wardround.compute.worker import WorkerDied
from wardround.federation.engine import Declined, RoundTask, RoundUpdate
from wardround.node.projects.tables import Release
from wardround.node.training.learner import Lesson

FIRST, SECOND = project(), project("sarcoma")
PATIENCE = 60


def asked(of: Any, number: int = 1) -> RoundTask:
    told = task(of, round_number=number)
    return replace(told, run_id=f"{of.id}-1", leg_id=f"{of.id}-1.1", arrays=f"weights of {of.id}".encode())


class OneProcess(ToyWorker):
    """Does one lesson at a time; a stop ends it and all that wait, as that of the real one does."""

    def __init__(self) -> None:
        super().__init__()
        self._turn, self._stopped = threading.Lock(), threading.Event()
        self.waiting = threading.Semaphore(0)
        self.go_on = threading.Event()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        stopped = self._stopped
        self.waiting.release()
        with self._turn:
            while not self.go_on.wait(0.01):
                if stopped.is_set():
                    raise WorkerDied("stopped")
            self.calls.append((function, *arguments))
            update = b"learned from " + arguments[1]
            return replace(self.lesson, update=update, digest=sha256(update).hexdigest())

    def stop(self) -> None:
        self._stopped.set()
        self._stopped = threading.Event()


@pytest.fixture
def both(lab: NodeLab) -> NodeLab:
    lab.fill()
    for one in (FIRST, SECOND):
        lab.agree(one)
    lab.participant._worker = OneProcess()  # type: ignore[assignment]  # as the lab's own worker stands in for one
    return lab


class Part(threading.Thread):
    """A run's rounds, one after another, as its leg asks for them."""

    def __init__(self, lab: NodeLab, of: Any, rounds: int = 1) -> None:
        super().__init__(daemon=True)
        self._lab, self._of, self._rounds = lab, of, rounds
        self.given: list[RoundUpdate | str] = []
        self.start()

    def run(self) -> None:
        for number in range(1, self._rounds + 1):
            try:
                self.given.append(self._lab.participant.take_part(asked(self._of, number)))
            except Declined as declined:
                self.given.append(declined.reason)

    def outcome(self) -> list[RoundUpdate | str]:
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.given


def test_neither_gets_the_others_people_weights_notes_or_allowances(both: NodeLab) -> None:
    worker: Any = both.participant._worker
    worker.go_on.set()
    parts = [Part(both, one, rounds=2) for one in (FIRST, SECOND)]
    updates = [part.outcome() for part in parts]
    for of, given in zip((FIRST, SECOND), updates, strict=True):
        assert [getattr(one, "update", one) for one in given] == [f"learned from weights of {of.id}".encode()] * 2
        calls = [call for call in worker.calls if call[2] == f"weights of {of.id}".encode()]
        assert {call[1].plan for call in calls} == {of.plan}
        assert {(call[7].run, call[7].folder.name) for call in calls} == {(f"{of.id}-1", f"{of.id}-1")}
    keys = {call[7].key for call in worker.calls}
    names = [{case.name for case in call[1].cohort.cases} for call in worker.calls]
    assert len(keys) == 2, "each run's notes have a key of their own"
    assert all(one == other or not one & other for one in names for other in names), "and pseudonyms of its project's"
    with both.database.reading() as session:
        left = session.execute(select(Release.decision, Release.run, Release.round)).all()
    assert sorted((run, number) for _, run, number in left) == [
        (f"{of.id}-1", number) for of in (FIRST, SECOND) for number in (1, 2)
    ]
    assert len({decision for decision, _, _ in left}) == 2
    assert isinstance(worker.lesson, Lesson)


def test_a_leg_that_is_given_up_doesnt_cost_the_other_run_its_turn(both: NodeLab) -> None:
    worker: Any = both.participant._worker
    first = Part(both, FIRST)
    assert worker.waiting.acquire(timeout=PATIENCE)
    second = Part(both, SECOND)
    assert worker.waiting.acquire(timeout=PATIENCE), "it waits for its turn"
    both.participant.abort("glioma-1.1", "the hub's program ended")
    assert first.outcome() == ["learning-process-died"]
    assert worker.waiting.acquire(timeout=PATIENCE), "and asks for it anew"
    worker.go_on.set()
    [given] = second.outcome()
    assert isinstance(given, RoundUpdate)
