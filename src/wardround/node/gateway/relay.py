"""The engine's way out: a port on loopback whose bytes go to the hub's engine port and back, counted.

TLS stays end to end between the engine's client and its server; the relay sees ciphertext. It exists so that the
engine, too, has one door, and so that how much went through it is on the record.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from wardround.contracts.base import RunId
from wardround.contracts.outbound import EngineTraffic
from wardround.node.gateway.errors import MayNotLeave
from wardround.node.gateway.gateway import Gateway

LOG = logging.getLogger(__name__)
PIECE = 256 * 1024
TOLD_EVERY = 5.0
SHUT_FOR = 60.0
SILENT_FOR = 60.0
"""Seconds after which a connection on which something went up, and nothing came down since, leads nowhere: a network
can lose one without a word, and TCP itself would wait for a quarter of an hour. Over each of the engine's connections
something is asked every other second, and pieces of at most 2 MiB travel, each of which is answered."""
DIAL_FOR = 10.0
"""Seconds for a connection to be made; the engine's client tries again at most 10 s later."""


class Relay:
    """Carries TCP connections from 127.0.0.1 to `target`.

    Args:
        target: host and port of the hub's engine.
        on_bytes: told how many bytes went up and down since the last time, every few seconds, and at the end. When
            it raises, the relay closes: nothing passes uncounted for long.
        room: how many bytes may still go up now, asked as often; None: no bound. At its end the relay is shut, for
            `shut_for` seconds at least: connections are cut and new ones refused, until there is room again.
        silent_for: a connection is given up on which nothing has come down for so many seconds after what went up.
        dial_for: how many seconds a connection may take to be made.
    """

    def __init__(
        self,
        target: tuple[str, int],
        on_bytes: Callable[[int, int], None],
        *,
        told_every: float = TOLD_EVERY,
        room: Callable[[], int | None] = lambda: None,
        shut_for: float = SHUT_FOR,
        silent_for: float = SILENT_FOR,
        dial_for: float = DIAL_FOR,
    ) -> None:
        self._target = target
        self._on_bytes = on_bytes
        self._told_every = told_every
        self._room = room
        self._shut_for = shut_for
        self._left: int | None = None
        self._shut_until: float | None = None
        self._silent_for = silent_for
        self._dial_for = dial_for
        self._carried: set[asyncio.Task[None]] = set()
        self._unanswered: dict[asyncio.Task[None], float] = {}
        self._up = 0
        self._down = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listen on a free port of 127.0.0.1 and give it.

        Raises:
            OSError: no port can be had.
        """
        port: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(port)), name="engine-relay", daemon=True)
        self._thread.start()
        return port.result()

    @property
    def alive(self) -> bool:
        """Whether it listens: not before its start, nor once it closed by itself."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def shut(self) -> bool:
        """Whether it carries nothing for now, for want of room."""
        return self._shut_until is not None

    def stop(self) -> None:
        """Close all connections, tell the last bytes, and give the port back."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    async def _serve(self, port: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()

        def arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.shut:
                writer.transport.abort()
                return
            task = asyncio.ensure_future(self._carry(reader, writer))
            self._carried.add(task)
            task.add_done_callback(self._ended)

        self._left = await asyncio.to_thread(self._room)
        try:
            server = await asyncio.start_server(arrived, "127.0.0.1", 0, limit=PIECE)
        except OSError as error:
            port.set_exception(error)
            return
        port.set_result(server.sockets[0].getsockname()[1])
        try:
            while not self._stopping.is_set():
                await self._pause()
                await self._tell()
                self._give_up_silent()
        finally:
            server.close()
            for task in list(self._carried):
                task.cancel()
            await asyncio.gather(*self._carried, return_exceptions=True)
            await self._tell()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._carried.discard(task)
        self._unanswered.pop(task, None)

    def _give_up_silent(self) -> None:
        long_ago = asyncio.get_running_loop().time() - self._silent_for
        for task, since in self._unanswered.items():
            if since < long_ago:
                LOG.warning(
                    "the hub's engine has answered nothing for %g s; its connection is given up", self._silent_for
                )
                task.cancel()

    async def _pause(self) -> None:
        if self._stopping is not None:
            try:
                await asyncio.wait_for(self._stopping.wait(), self._told_every)
            except TimeoutError:
                return

    async def _tell(self) -> None:
        up, down, self._up, self._down = self._up, self._down, 0, 0
        if self._left is not None:
            self._left -= up
        if up or down:
            try:
                await asyncio.to_thread(self._on_bytes, up, down)
            except MayNotLeave:
                self._shut()
        self._left = await asyncio.to_thread(self._room)
        over = self._shut_until is not None and self._shut_until <= asyncio.get_running_loop().time()
        if over and (self._left is None or self._left > 0):
            self._shut_until = None
            LOG.info("the engine's relay carries again")

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._dial_for):
                hub_reader, hub_writer = await asyncio.open_connection(*self._target, limit=PIECE)
        except OSError as error:
            LOG.warning("the hub's engine doesn't answer (%s)", error.errno)
            writer.close()
            return
        carrying = asyncio.current_task()
        assert carrying is not None  # noqa: S101 - a coroutine of no task doesn't run
        try:
            await asyncio.gather(
                self._pump(carrying, reader, hub_writer, up=True), self._pump(carrying, hub_reader, writer, up=False)
            )
        except OSError as error:
            LOG.info("an engine connection ended (%s)", error.errno)
        finally:
            # A peer that is gone answers no farewell: don't wait for one.
            writer.transport.abort()
            hub_writer.transport.abort()

    async def _pump(
        self,
        carrying: asyncio.Task[None],
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        up: bool,
    ) -> None:
        while piece := await source.read(PIECE):
            if up:
                if self._left is not None and self._up + len(piece) > self._left:
                    self._shut()
                    return
                self._up += len(piece)
                self._unanswered.setdefault(carrying, asyncio.get_running_loop().time())
            else:
                self._down += len(piece)
                self._unanswered.pop(carrying, None)
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
            await sink.drain()

    def _shut(self) -> None:
        if not self.shut:
            LOG.error("the engine's relay is shut: this hospital's policy lets no more leave for now")
        self._shut_until = asyncio.get_running_loop().time() + self._shut_for
        for task in self._carried:
            task.cancel()


def engine_relay(gateway: Gateway, run: RunId, target: tuple[str, int]) -> Relay:
    """A relay whose traffic is logged as `EngineTraffic` of `run`."""

    def log(up: int, down: int) -> None:
        gateway.record(EngineTraffic(run=run), up, answer_bytes=down)

    return Relay(target, log, room=lambda: gateway.room("engine-traffic"))
