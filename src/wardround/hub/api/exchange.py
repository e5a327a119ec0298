"""One table from message to handler: what the hub does with each thing that a node may send.

    exchange = Exchange()
    exchange.register(CohortAnswer)(keep_answer)      # keep_answer(caller, message, attachment) -> Acknowledged

A handler that isn't a coroutine runs in a worker thread, so it may use the database as it likes. It answers with
the message's own reply type, alone or with bytes beside it, or raises a `WardroundError` for the node to
read.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from anyio.to_thread import run_sync

from wardround.contracts.outbound import Message, Reply
from wardround.foundation.clock import Clock
from wardround.foundation.errors import WardroundError

if TYPE_CHECKING:
    from wardround.foundation.database import Database
    from wardround.foundation.files import ObjectStore
    from wardround.hub.home import HubHome

M = TypeVar("M", bound=Message)
Answer = Reply | tuple[Reply, bytes]
Handler = Callable[["Caller", Any, bytes], Answer | Awaitable[Answer]]


@dataclass(frozen=True)
class Caller:
    """The member whose call this is, proven by its certificate, and what a handler works with.

    `site` is empty for one call alone: `JoinRequest`, which is how a site comes to have a certificate.
    """

    site: str
    home: HubHome
    clock: Clock

    @property
    def database(self) -> Database:
        return self.home.database

    @property
    def objects(self) -> ObjectStore:
        return self.home.objects

    @property
    def actor(self) -> str:
        """The caller as an actor of the audit."""
        return f"site:{self.site}"

    def now(self) -> datetime:
        return self.clock()


class NoHandler(WardroundError):
    """This hub doesn't take such a message."""

    code = "not-taken-here"


class Exchange:
    """The table of handlers."""

    def __init__(self) -> None:
        self._handlers: dict[type[Message], Handler] = {}

    def register(
        self, kind: type[M]
    ) -> Callable[[Callable[[Caller, M, bytes], Any]], Callable[[Caller, M, bytes], Any]]:
        """A decorator that makes a function the handler of `kind`; one handler a kind."""

        def keep(handler: Callable[[Caller, M, bytes], Any]) -> Callable[[Caller, M, bytes], Any]:
            if kind in self._handlers:
                raise ValueError(f"{kind.__name__} has a handler already")
            self._handlers[kind] = handler
            return handler

        return keep

    def takes(self, kind: type[Message]) -> bool:
        return kind in self._handlers

    async def answer(self, caller: Caller, message: Message, attachment: bytes) -> tuple[Reply, bytes]:
        """The handler's reply and what goes beside it.

        Raises:
            WardroundError: the handler refused, or there is none.
        """
        handler = self._handlers.get(type(message))
        if handler is None:
            raise NoHandler("this hub doesn't take such a message; upgrade the hub")
        if inspect.iscoroutinefunction(handler):
            answer = await handler(caller, message, attachment)
        else:
            answer = await run_sync(handler, caller, message, attachment)
        reply, beside = answer if isinstance(answer, tuple) else (answer, b"")
        if type(reply) is not message.reply:
            raise TypeError(f"the handler of {type(message).__name__} must answer with {message.reply.__name__}")
        return reply, beside
