"""UPS-RS, the Worklist Service, as addresses of the DICOMweb service (PS3.18 section 11).

Served: create, retrieve, update, change state, request cancellation, search, and subscriptions with their event
channel, in DICOM JSON. Not served: XML.
"""

from __future__ import annotations

import json
from urllib.parse import unquote

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from wardround.dicom.json_model import text
from wardround.node.dicomweb.accept import DICOM_JSON, JSON, accepted, choose
from wardround.node.dicomweb.failure import WebFailure, bad_request, warning
from wardround.node.dicomweb.header import address_uid, is_uid
from wardround.node.dicomweb.matching import read_search
from wardround.node.dicomweb.multipart import media_type
from wardround.node.dicomweb.tokens import Scope
from wardround.node.workitems import attributes as at
from wardround.node.workitems.demands import LARGEST, read_dataset, read_task
from wardround.node.workitems.desk import WorkitemDesk
from wardround.node.workitems.states import Fault, StepState
from wardround.node.workitems.subscribing import SubscriberService, Who
from wardround.node.workitems.telling import WorkitemView, split_keys

_CUT = warning("there are more answers; ask again with a larger offset")
_MODIFIED = warning("The Workitem was created with modifications.")
_NAMES = ("workitem", "affectedsopinstanceuid", "transaction", "transaction-uid", "transactionuid")


class WorklistService:
    """Every call needs a token of scope `work`."""

    def __init__(self, desk: WorkitemDesk, view: WorkitemView, subscribers: SubscriberService) -> None:
        self._desk = desk
        self._view = view
        self._subscribers = subscribers

    def add_to(self, app: FastAPI, base: str, who: Who) -> None:
        self._who = who
        all_, one = f"{base}/workitems", f"{base}/workitems/{{uid}}"
        app.get(all_)(self.search)
        app.post(all_)(self.create)
        app.get(one)(self.retrieve)
        app.post(one)(self.update)
        app.put(one + "/state")(self.change_state)
        app.post(one + "/cancelrequest")(self.ask_cancel)
        self._subscribers.add_to(app, base, who)

    def search(self, request: Request) -> Response:
        self._who(request, Scope.WORK)
        kind = _kind(request)
        plain, within = split_keys(request.query_params.multi_items())
        found, more = self._view.search(read_search(plain), within)
        headers = {"Warning": _CUT} if more else {}
        if not found:
            return Response(status_code=204, headers=headers)
        return _told(found, kind, headers)

    def retrieve(self, request: Request) -> Response:
        self._who(request, Scope.WORK)
        return _told([self._view.retrieve(_uid(request))], _kind(request), {})

    async def create(self, request: Request) -> Response:
        who = await run_in_threadpool(self._who, request, Scope.WORK)
        task = read_task(read_dataset(await _body(request)), _named(request))
        uid = await run_in_threadpool(lambda: self._desk.create(task, actor=who.actor))
        place = f"{request.url.scheme}://{request.url.netloc}{request.url.path}/{uid}"
        headers = {"Location": place, "Content-Location": place}
        return Response(status_code=201, headers=headers | ({"Warning": _MODIFIED} if task.modified else {}))

    async def update(self, request: Request) -> Response:
        who = await run_in_threadpool(self._who, request, Scope.WORK)
        said, uid = read_dataset(await _body(request)), _uid(request)
        await run_in_threadpool(lambda: self._desk.update(uid, said, _named(request) or None, actor=who.actor))
        return Response(status_code=200)

    async def change_state(self, request: Request) -> Response:
        who = await run_in_threadpool(self._who, request, Scope.WORK)
        said, uid = read_dataset(await _body(request)), _uid(request)
        if text(said, at.STATE) not in set(StepState):
            raise bad_request(f"Procedure Step State has to be one of {', '.join(StepState)}")
        wanted, transaction = StepState(text(said, at.STATE)), text(said, at.TRANSACTION_UID) or None
        fault = await run_in_threadpool(lambda: self._desk.change_state(uid, wanted, transaction, actor=who.actor))
        return Response(status_code=200, headers=_warning(fault))

    async def ask_cancel(self, request: Request) -> Response:
        who = await run_in_threadpool(self._who, request, Scope.WORK)
        body, uid = await _body(request, empty=True), _uid(request)
        said, asking = read_dataset(body) if body else {}, who.name.upper()[:16]
        fault = await run_in_threadpool(lambda: self._desk.ask_cancel(uid, said, asking=asking, actor=who.actor))
        return Response(status_code=202, headers=_warning(fault))


def _told(found: list[dict[str, object]], kind: str, headers: dict[str, str]) -> Response:
    headers = headers | {"Cache-Control": "private, no-store"}
    return Response(json.dumps(found, separators=(",", ":")), headers=headers, media_type=kind)


def _warning(fault: Fault | None) -> dict[str, str]:
    return {} if fault is None else {"Warning": warning(fault.words)}


def _kind(request: Request) -> str:
    wanted = accepted(request.headers.getlist("accept"), request.query_params.get("accept"))
    return choose(wanted, (DICOM_JSON, JSON))


async def _body(request: Request, *, empty: bool = False) -> bytes:
    kind = media_type(request.headers.get("content-type", ""))[0]
    if kind not in (DICOM_JSON, JSON) and not (empty and not kind):
        raise WebFailure(415, "workitems are taken as application/dicom+json")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            raise WebFailure(413, "the message is too large")
    return bytes(body)


def _uid(request: Request) -> str:
    return address_uid(request.path_params["uid"])


def _named(request: Request) -> str:
    """The UID in the query: alone, as the standard has it, or under a name, as many clients have it."""
    for part in request.url.query.split("&"):
        name, equals, value = part.partition("=")
        if not equals and is_uid(name):
            return name
        if equals and name.lower() in _NAMES:
            return unquote(value)
    return ""
