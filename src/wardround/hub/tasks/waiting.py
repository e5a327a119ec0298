"""How a node that waits hears of a task that any process of the hub queued.

A thread looks at the number given last every 20 ms, but only while some node waits, and wakes the calls of the
sites that got something. It works alike on SQLite and PostgreSQL and asks nothing of who queues.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict

from sqlalchemy.exc import SQLAlchemyError

from wardround.contracts.outbound import TaskBatch, TaskPoll
from wardround.contracts.task import NumberedTask
from wardround.foundation.database import Changes, Database
from wardround.hub.api.exchange import Caller
from wardround.hub.tasks import queries

LOOKS_EVERY = 0.02
LOG = logging.getLogger(__name__)


class TaskWaits:
    """Answers `TaskPoll` and holds it while there is nothing to say."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waits: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._anyone = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Begin to look; in the event loop that answers calls."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._watch, name="task-waits", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Answer all who wait with what there is, and stop looking."""
        self._stopping.set()
        self._anyone.set()
        self._wake(set(self._waits))
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def poll(self, caller: Caller, message: TaskPoll, _attachment: bytes) -> TaskBatch:
        """The caller's tasks above the number that it names, as soon as there is one or its patience ends."""
        woken = asyncio.Event()
        waits = self._waits[caller.site]
        waits.add(woken)
        self._anyone.set()
        try:
            async with asyncio.timeout(message.wait_seconds):
                while not (tasks := await asyncio.to_thread(self._tasks, caller.site, message.after)):
                    if self._stopping.is_set():
                        break
                    await woken.wait()
                    woken.clear()
        except TimeoutError:
            tasks = await asyncio.to_thread(self._tasks, caller.site, message.after)
        finally:
            waits.discard(woken)
            if not any(self._waits.values()):
                self._anyone.clear()
        return TaskBatch(tasks=tasks)

    def _tasks(self, site: str, number: int) -> tuple[NumberedTask, ...]:
        with self._database.reading() as session:
            return queries.after(session, site, number)

    def _watch(self) -> None:
        seen, changes = 0, Changes(self._database)
        while not self._stopping.is_set():
            if not self._anyone.wait(timeout=1):
                continue
            try:
                if not changes.any():
                    self._stopping.wait(LOOKS_EVERY)
                    continue
                with self._database.reading() as session:
                    newest = queries.newest(session)
                    sites = queries.waiting_sites(session, seen) if newest > seen else set()
            except SQLAlchemyError:
                LOG.exception("the queue of tasks can't be read; trying again")
                changes.forget()
                self._stopping.wait(1)
                continue
            seen = newest
            if sites and self._loop is not None and not self._stopping.is_set():
                self._loop.call_soon_threadsafe(self._wake, sites)
            self._stopping.wait(LOOKS_EVERY)

    def _wake(self, sites: set[str]) -> None:
        for site in sites:
            for woken in self._waits.get(site, ()):
                woken.set()
