"""Subscriptions to workitems as addresses of the DICOMweb service (PS3.18 11.10 to 11.12 and 8.10.4)."""

from __future__ import annotations

import re
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from wardround.node.dicomweb.failure import bad_request, warning
from wardround.node.dicomweb.header import address_uid
from wardround.node.dicomweb.matching import read_search
from wardround.node.dicomweb.tokens import Caller, Scope
from wardround.node.workitems.channel import EventChannel
from wardround.node.workitems.subscriptions import ALL, FILTERED, Subscriber, Subscriptions
from wardround.node.workitems.telling import split_keys

Who = Callable[[HTTPConnection, Scope], Caller]
_NO_LOCK = warning("The Deletion Lock was not granted.")
_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")
"""An Application Entity (PS3.5 6.2): 1 to 16 printable characters, none of them a backslash."""
_OWN = frozenset({"deletionlock", "filter", "accept", "charset"})


class SubscriberService:
    """Every call needs a token of scope `work`. No deletion lock is granted: a study stays for the days that this
    hospital set, and nobody outside it can have it stay longer."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._channel = EventChannel(subscriptions)

    def add_to(self, app: FastAPI, base: str, who: Who) -> None:
        self._who = who
        self._base = base
        one = f"{base}/workitems/{{uid}}/subscribers/{{title}}"
        app.post(one)(self.subscribe)
        app.delete(one)(self.unsubscribe)
        app.post(one + "/suspend")(self.suspend)
        app.websocket(f"{base}/subscribers/{{title}}")(self.open_channel)

    def subscribe(self, request: Request) -> Response:
        caller, subscriber, resource = self._asked(request)
        lock = request.query_params.get("deletionlock", "false").lower()
        if lock not in ("true", "false"):
            raise bad_request("deletionlock is true or false")
        keys = _filter(request)
        if bool(keys) is not (resource == FILTERED):
            raise bad_request("a filter belongs to the filtered worklist, and has to be there")
        self._subscriptions.subscribe(subscriber, resource, keys, actor=caller.actor)
        scheme = "wss" if request.url.scheme == "https" else "ws"
        place = f"{scheme}://{request.url.netloc}{self._base}/subscribers/{request.path_params['title']}"
        headers = {"Content-Location": place}
        return Response(status_code=201, headers=headers | ({"Warning": _NO_LOCK} if lock == "true" else {}))

    def unsubscribe(self, request: Request) -> Response:
        caller, subscriber, resource = self._asked(request)
        self._subscriptions.unsubscribe(subscriber, resource, actor=caller.actor)
        return Response(status_code=200)

    def suspend(self, request: Request) -> Response:
        caller, subscriber, resource = self._asked(request)
        if resource not in (ALL, FILTERED):
            raise bad_request("the worklist's subscriptions alone can be suspended")
        self._subscriptions.suspend(subscriber, resource, actor=caller.actor)
        return Response(status_code=200)

    async def open_channel(self, socket: WebSocket) -> None:
        await self._channel.serve(socket, self._subscriber)

    def _subscriber(self, asked: HTTPConnection) -> Subscriber:
        """Raises `WebFailure`: 400, 401 or 403."""
        return Subscriber(self._who(asked, Scope.WORK).name, _title(asked))

    def _asked(self, request: Request) -> tuple[Caller, Subscriber, str]:
        caller = self._who(request, Scope.WORK)
        uid = address_uid(request.path_params["uid"])
        return caller, Subscriber(caller.name, _title(request)), uid


def _title(asked: HTTPConnection) -> str:
    title: str = asked.path_params["title"]
    if not _TITLE.fullmatch(title):
        raise bad_request("the AE title in the address is none")
    return title


def _filter(request: Request) -> dict[str, str]:
    """Matching keys: `filter=KEY=VALUE,KEY=VALUE`, as the standard has it, or each of its own, as it had it before."""
    given = [(name, value) for name, value in request.query_params.multi_items() if name.lower() not in _OWN]
    for part in ",".join(request.query_params.getlist("filter")).split(","):
        name, equals, value = part.partition("=")
        if part and not equals:
            raise bad_request("a filter is KEY=VALUE, several with commas between")
        if part:
            given.append((name, value))
    plain, within = split_keys(given)
    return dict(read_search(plain).keys) | within
