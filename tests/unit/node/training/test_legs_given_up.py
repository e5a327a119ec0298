"""Word of a leg that died reaches a hospital late, as a rule: it ends that leg's work there and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab, ToyWorker, task

from wardround.compute.worker import WorkerDied
from wardround.contracts.ledger_entry import Update
from wardround.contracts.outbound import Message
from wardround.federation.engine import Declined, RoundTask, RoundUpdate

ASKED = project()
PATIENCE = 30


class SlowWorker(ToyWorker):
    """Works on each lesson until it is let go or stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go_on, self.stops = threading.Event(), threading.Event(), 0

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        if self.stops:
            raise WorkerDied("stopped")
        return super().call(function, *arguments)

    def stop(self) -> None:
        self.stops += 1
        self.go_on.set()


class Round:
    """A round that a leg asks for, done in a thread of its own as the engine's port does it."""

    def __init__(self, lab: NodeLab, leg: int) -> None:
        told = task(ASKED)
        self._task = RoundTask(
            told.run_id, f"{told.run_id}.{leg}", told.round, told.total_rounds, told.plan, told.arrays, "delta"
        )
        self._lab = lab
        self._outcome: RoundUpdate | str = ""
        self._thread = threading.Thread(target=self._do, daemon=True)
        self._thread.start()

    def _do(self) -> None:
        try:
            self._outcome = self._lab.participant.take_part(self._task)
        except Declined as declined:
            self._outcome = declined.reason

    def outcome(self) -> RoundUpdate | str:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self._outcome


@pytest.fixture
def worker(lab: NodeLab) -> Iterator[SlowWorker]:
    lab.fill()
    lab.agree(ASKED)
    slow = SlowWorker()
    lab.participant._worker = slow  # type: ignore[assignment]  # as the lab's own worker stands in for one
    yield slow
    slow.go_on.set()


def test_late_word_of_a_dead_leg_doesnt_stop_the_next_one(lab: NodeLab, worker: SlowWorker) -> None:
    second = Round(lab, leg=2)
    assert worker.began.wait(PATIENCE)
    lab.participant.abort("glioma-1.1", "contact with the hub was lost")
    worker.go_on.set()
    assert isinstance(second.outcome(), RoundUpdate)
    assert worker.stops == 0


def test_a_leg_that_is_given_up_at_work_stops_at_once(lab: NodeLab, worker: SlowWorker) -> None:
    first = Round(lab, leg=1)
    assert worker.began.wait(PATIENCE)
    lab.participant.abort("glioma-1.1", "the hub's program ended")
    assert (first.outcome(), worker.stops) == ("learning-process-died", 1)


def test_a_leg_that_is_given_up_before_its_lesson_reads_nothing_and_uses_up_nothing(
    lab: NodeLab, worker: SlowWorker
) -> None:
    """Else each leg that dies would cost one of the updates that may leave in the round."""

    def give_up(_message: Message) -> None:
        lab.participant.abort("glioma-1.1", "the engine ended the job")

    lab.wire.cut = give_up
    assert Round(lab, leg=1).outcome() == "leg-given-up"
    assert (worker.calls, worker.began.is_set(), worker.stops) == ([], False, 0)
    assert not any(isinstance(entry, Update) for entry in lab.ledger())

    lab.wire.cut = lambda _: None
    worker.go_on.set()
    assert isinstance(Round(lab, leg=1).outcome(), RoundUpdate), "it may be asked again"
