"""The event channel: a WebSocket (RFC 6455) on which a subscriber is sent its event reports (PS3.18 8.10.4, 8.10.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from wardround.foundation.database import Changes
from wardround.node.dicomweb.failure import WebFailure
from wardround.node.workitems.subscriptions import Subscriber, Subscriptions

Named = Callable[[HTTPConnection], Subscriber]
"""Says which subscriber a call is of, or raises `WebFailure` where nobody's."""
LOOKED_EVERY = 0.3
"""Seconds between looks for what is to be told."""
CHECKED_EVERY = 20
"""Looks between two checks that the token is in force still."""
NOT_ALLOWED = 1008
"""RFC 6455 7.4.1: the policy of this end doesn't let it go on."""


class EventChannel:
    """Serves channels: one for each subscriber, of which the last one opened stays."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._open: dict[Subscriber, WebSocket] = {}

    async def serve(self, socket: WebSocket, named: Named) -> None:
        """1. The token says who it is, before the channel is open.
        2. What waits for that subscriber, and for no other, is sent and then forgotten.
        3. The channel ends once the token is revoked, the subscriber has opened another, or says anything: there is
           nothing to be said on it.
        """
        try:
            subscriber = await run_in_threadpool(named, socket)
        except WebFailure as refused:
            await socket.send_denial_response(JSONResponse({"error": refused.text}, refused.status))
            return
        await socket.accept()
        self._open[subscriber] = socket
        said = asyncio.ensure_future(socket.receive())
        try:
            await self._tell(socket, named, subscriber, said)
        except WebSocketDisconnect:
            pass
        finally:
            said.cancel()
            if self._open.get(subscriber) is socket:
                del self._open[subscriber]

    async def _tell(
        self, socket: WebSocket, named: Named, subscriber: Subscriber, said: asyncio.Future[MutableMapping[str, Any]]
    ) -> None:
        changes, looks = Changes(self._subscriptions.database), 0
        while not said.done():
            if changes.any():
                while reports := await run_in_threadpool(self._subscriptions.waiting, subscriber):
                    for _, report in reports:
                        if report:
                            await socket.send_text(report)
                    await run_in_threadpool(self._subscriptions.forget, [number for number, _ in reports])
            await asyncio.wait({said}, timeout=LOOKED_EVERY)
            looks += 1
            if looks % CHECKED_EVERY == 0 and not await run_in_threadpool(_in_force, named, socket):
                break
            if self._open.get(subscriber) is not socket:
                break
        if not said.done() or said.result()["type"] != "websocket.disconnect":
            await socket.close(NOT_ALLOWED)


def _in_force(named: Named, socket: WebSocket) -> bool:
    try:
        named(socket)
    except WebFailure:
        return False
    return True
