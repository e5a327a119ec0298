"""A hub on real sockets of this machine, in a thread of the test, and nodes that join it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from wardround.contracts.task import Task
from wardround.foundation.clock import Clock, now
from wardround.foundation.token import Token
from wardround.hub.app import Hub, build
from wardround.hub.home import HubHome, make_hub_home
from wardround.hub.serving import serve
from wardround.hub.settings import HubSettings
from wardround.hub.sites import actions as sites
from wardround.hub.tasks import actions as tasks
from wardround.hub.tasks.tables import QueuedTask
from wardround.ledger.log import Log
from wardround.node.home import NodeHome
from wardround.node.membership.actions import join

PATIENCE = 30
"""Seconds after which a test gives up on what should have happened at once."""


def eventually(happened: Callable[[], bool]) -> None:
    """Wait for what another thread or process does; fails once patience is at its end."""
    pause = threading.Event()
    for _ in range(PATIENCE * 50):
        if happened():
            return
        pause.wait(0.02)
    pytest.fail("it didn't happen")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class HubLab:
    """One hub; `start` and `stop` may be called again and again."""

    def __init__(self, folder: Path, *, clock: Clock = now, certificate_hours: float = 24, database: str = "") -> None:
        api, enrol, engine = free_ports(3)
        self.folder = folder
        self.clock = clock
        settings = HubSettings(
            federation="testing",
            host="127.0.0.1",
            listen="127.0.0.1",
            api_port=api,
            enrol_port=enrol,
            engine_port=engine,
            certificate_hours=certificate_hours,
            database=database,
        )
        self.home: HubHome = make_hub_home(folder / "hub", settings)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> Hub:
        hub = build(self.home, clock=self.clock)
        hub.background.clear()  # joining and the door stand alone: no engine, no ledger's checkpoints
        ready = threading.Event()

        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await serve(hub, self._stop, ready.set)

        self._thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE), "the hub doesn't serve"
        return hub

    def stop(self) -> None:
        if self._thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the hub doesn't stop"
        self._thread = None

    def invite(self, site: str) -> Token:
        with self.home.database.writing() as session:
            return sites.invite(session, self.home, site, actor="operator:test", now=self.clock())

    def revoke(self, site: str) -> None:
        log = Log(self.home.ledger_origin, self.home.ledger_key)
        with self.home.database.writing() as session:
            sites.revoke(session, log, site, "a test", actor="operator:test", now=self.clock())

    def ask(self, site: str, task: Task) -> int:
        with self.home.database.writing() as session:
            return tasks.enqueue(session, site, task)

    def task_state(self, number: int) -> tuple[str, str | None]:
        """How the hub says that a task ended, and why."""
        with self.home.database.reading() as session:
            task = session.get_one(QueuedTask, number)
            return task.state, task.reason

    def node(self, site: str, *, database: str = "") -> NodeHome:
        """A node that has joined."""
        return join(self.invite(site), self.folder / site, actor="operator:test", database=database)
