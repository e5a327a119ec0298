"""What waits for FLARE's timers is woken, and all other pauses stay as they are."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from wardround.federation.flare import pauses
from wardround.federation.flare.pauses import SHORT, Bell, Shortened


def test_a_ring_ends_the_sleep_of_every_thread() -> None:
    bell = Bell()
    sleepers = [threading.Thread(target=bell.sleep, args=(3600,), daemon=True) for _ in range(2)]
    for sleeper in sleepers:
        sleeper.start()
    bell.ring()
    for sleeper in sleepers:
        sleeper.join(30)
    assert not any(sleeper.is_alive() for sleeper in sleepers)


def test_a_ring_during_work_ends_the_next_sleep_and_none_after_it() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    ended = threading.Event()

    def twice() -> None:
        bell.sleep(3600)
        ended.set()
        bell.sleep(3600)

    sleeper = threading.Thread(target=twice, daemon=True)
    sleeper.start()
    assert ended.wait(30)
    assert sleeper.is_alive()
    bell.ring()
    sleeper.join(30)
    assert not sleeper.is_alive()


def test_one_pause_is_shortened_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(pauses, "time", SimpleNamespace(sleep=slept.append, time=time.time))
    clock = Shortened(0.5)
    for seconds in (0.5, 2.0, 0.2):
        clock.sleep(seconds)
    assert slept == [SHORT, 2.0, 0.2]
    assert clock.time() > 0
