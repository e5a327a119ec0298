"""What a program does by itself never ends unseen: a step that fails is taken again, the others go on."""

from __future__ import annotations

import logging
import threading

import pytest

from wardround.foundation import loop as loops
from wardround.foundation.errors import Unreachable, WardroundError
from wardround.foundation.loop import Loop

PATIENCE = 30


@pytest.mark.parametrize(
    "error", [WardroundError("w"), OSError("o"), LookupError("l"), ValueError("v"), RuntimeError("r"), Unreachable("u")]
)
def test_a_step_that_fails_is_taken_again_and_holds_up_no_other(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loops, "PAUSE", 0.001)
    monkeypatch.setattr(loops, "PAUSE_AFTER_FAILURE", 0.001)
    tries: list[int] = []
    others: list[int] = []
    recovered, closed = threading.Event(), threading.Event()

    def fail_twice() -> None:
        tries.append(1)
        if len(tries) <= 2:
            raise error
        recovered.set()

    loop = Loop("test", [fail_twice, lambda: others.append(1)], close=closed.set)
    with caplog.at_level(logging.ERROR, logger="wardround.foundation.loop"):
        loop.start()
        assert recovered.wait(PATIENCE), "the loop has died"
        loop.stop()
    assert closed.is_set()
    assert len(others) >= 2
    assert len(caplog.records) == (0 if isinstance(error, Unreachable) else 2)


def test_a_stopped_loop_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PAUSE", 0.001)
    ticked = threading.Event()
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        ticked.set()

    loop = Loop("test", [tick])
    loop.start()
    assert ticked.wait(PATIENCE)
    loop.stop()
    assert loop._thread is not None and not loop._thread.is_alive()


def test_a_loop_that_never_started_can_be_stopped() -> None:
    closed = threading.Event()
    Loop("test", [], close=closed.set).stop()
    assert closed.is_set()
