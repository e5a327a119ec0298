"""What a program does by itself never ends unseen: a step that fails is taken again, the others go on."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardround.foundation import loop as loops
from wardround.foundation.database import Database
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


WRITE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("create table told (word text)")
"""


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'told.db'}", migrations="wardround.hub.migrations")
    yield database
    database.close()


class Counted:
    """A tick that tells how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self._called = threading.Condition()

    def __call__(self) -> None:
        with self._called:
            self.calls += 1
            self._called.notify_all()

    def reach(self, calls: int) -> bool:
        with self._called:
            return self._called.wait_for(lambda: self.calls >= calls, PATIENCE)


def looked_at(database: Database, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released once for each look at the database's version."""
    looks = threading.Semaphore(0)
    version = database.version

    def count() -> int | None:
        looks.release()
        return version()

    monkeypatch.setattr(database, "version", count)
    return looks


def test_a_loop_rests_while_nobody_writes_and_another_program_wakes_it(
    told: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, tick = looked_at(told, monkeypatch), Counted()
    loop = Loop("test", [tick], pause=0.001, told=told, rest=3600)
    loop.start()
    try:
        assert tick.reach(1)
        for _ in range(20):
            assert looks.acquire(timeout=PATIENCE)
        assert tick.calls == 1
        subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "told.db")], check=True)
        assert tick.reach(2)
    finally:
        loop.stop()


def test_what_this_program_writes_wakes_a_loop_too(told: Database) -> None:
    tick = Counted()
    loop = Loop("test", [tick], pause=0.001, told=told, rest=3600)
    loop.start()
    try:
        assert tick.reach(1)
        with told.writing() as session:
            session.connection().exec_driver_sql("create table told (word text)")
        assert tick.reach(2)
    finally:
        loop.stop()


def test_what_time_alone_makes_due_is_looked_at_though_nobody_writes(told: Database) -> None:
    tick = Counted()
    loop = Loop("test", [tick], pause=0.001, told=told, rest=0.01)
    loop.start()
    try:
        assert tick.reach(3)
    finally:
        loop.stop()


def test_a_database_that_cannot_tell_is_taken_for_new(told: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "version", lambda: None)
    tick = Counted()
    loop = Loop("test", [tick], pause=0.001, told=told, rest=3600)
    loop.start()
    try:
        assert tick.reach(3)
    finally:
        loop.stop()
