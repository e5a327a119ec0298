"""MONAI Label's REST API as a web application: what Slicer, OHIF, MITK and the Python client call, unchanged.

Each call is a thin reading of what the client sent; what it comes to is in `Desk`'s parts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from wardround.compute.worker import WorkerDied
from wardround.foundation.errors import Conflict, NotFound, WardroundError
from wardround.node.annotate.callers import Caller
from wardround.node.annotate.desk import AnnotationDesk
from wardround.node.annotate.form import OCTETS, Form, read_form, read_params, write_result
from wardround.node.annotate.inference import Answer
from wardround.node.annotate.work import NotAnnotated
from wardround.node.dicomweb.failure import WebFailure, bad_request
from wardround.node.dicomweb.faults import answer_faults

log = logging.getLogger(__name__)

Handler = Callable[[Caller, Request, bytes], Response]
_PRIVATE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
_SMALL = 1 << 20
_STATUS: Mapping[type[WardroundError], int] = {NotFound: 404, Conflict: 409, NotAnnotated: 422, WorkerDied: 503}


def application(desk: AnnotationDesk) -> FastAPI:
    """The service. Every call but three needs a person's session: whether sign-in is needed, signing in, and an image
    by a one-time address."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=True)
    _Service(desk).add_to(app)
    answer_faults(app, log, "detail", _STATUS)
    return app


class _Service:
    def __init__(self, desk: AnnotationDesk) -> None:
        self._desk = desk

    def add_to(self, app: FastAPI) -> None:
        app.get("/auth/")(self.auth)
        app.post("/auth/token")(self.sign_in)
        app.get("/auth/token/valid")(self._for(self.valid))
        app.get("/info/")(self._for(self.info))
        app.get("/logs/")(self._for(self.logs))
        app.post("/activelearning/{strategy}")(self._for(self.next_case))
        app.get("/datastore/")(self._for(self.datastore))
        app.api_route("/datastore/image", methods=["GET", "HEAD"])(self.image)
        app.get("/datastore/image/info")(self._for(self.image_info))
        for path in ("/datastore/", "/datastore/image"):
            app.put(path)(self._for(self.put_image, large=True))
        app.put("/datastore/label")(self._for(self.put_label, large=True))
        app.api_route("/datastore/label", methods=["GET", "HEAD"])(self._for(self.label))
        app.get("/datastore/label/info")(self._for(self.label_info))
        app.post("/infer/{model}")(self._for(self.infer, large=True))
        app.put("/session/")(self._for(self.put_session, large=True))
        app.get("/session/{key}")(self._for(self.session))
        app.delete("/session/{key}")(self._for(self.end_session))
        app.get("/train/")(self._for(self.training))
        app.post("/train/")(self._for(self.train))
        app.post("/train/{model}")(self._for(self.train))
        app.delete("/train/")(self._for(self.stop_training))
        app.post("/dicom/studies")(self._for(self.store, large=True))
        app.post("/dicom/studies/{study}")(self._for(self.store, large=True))

    def _for(self, handler: Handler, *, large: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """The handler behind its door: who calls is known before a byte of the body is read, and both are done where
        they hold up no other call."""
        most = self._desk.largest if large else _SMALL

        async def answered(request: Request) -> Response:
            header = request.headers.get("authorization", "")
            caller = await run_in_threadpool(self._desk.callers.caller, header)
            # MONAI Label's client sends the length of its last upload along with calls that have no body.
            body = await _body(request, most) if request.method in ("PUT", "POST") else b""
            return await run_in_threadpool(handler, caller, request, body)

        return answered

    async def auth(self) -> Response:
        return JSONResponse({"enabled": True, "client_id": "wardround", "realm": "wardround"})

    async def sign_in(self, request: Request) -> Response:
        fields = _form(request, await _body(request, 8192)).fields
        name, password = fields.get("username", ""), fields.get("password", "")
        source = request.client.host if request.client else "unknown"
        signed = await run_in_threadpool(self._desk.callers.sign_in, name, password, source)
        return _json({"access_token": signed.token, "token_type": "bearer"})

    def valid(self, caller: Caller, _request: Request, _body: bytes) -> Response:
        return _json({"username": caller.person.name, "roles": ["monailabel-annotator"]})

    def info(self, _caller: Caller, _request: Request, _body: bytes) -> Response:
        return _json(self._desk.info())

    def logs(self, _caller: Caller, request: Request, _body: bytes) -> Response:
        """Of training alone: the node's own log is for its engineers."""
        return Response("\n".join(self._desk.training.lines()) + "\n", media_type="text/plain", headers=_PRIVATE)

    def next_case(self, caller: Caller, request: Request, body: bytes) -> Response:
        read_params(body)
        return _json(self._desk.next_case(request.path_params["strategy"], caller.actor))

    def datastore(self, _caller: Caller, request: Request, _body: bytes) -> Response:
        return _json(self._desk.datastore(request.query_params.get("output", "stats")))

    async def image(self, request: Request) -> Response:
        """By a one-time address, or for a person."""
        name = request.query_params.get("image", "")
        spent = self._desk.tickets.spend(name) if request.method == "GET" else None
        if spent is None:
            header = request.headers.get("authorization", "")
            caller = await run_in_threadpool(self._desk.callers.caller, header)
            series, actor = name, caller.actor
        else:
            series, actor = spent
        only_there = request.method == "HEAD" and not request.query_params.get("check_sum")
        file_name, data = await run_in_threadpool(self._desk.image, series, actor, only_there=only_there)
        check_sum = request.query_params.get("check_sum", "")
        if check_sum and not _matches(check_sum, data):
            raise NotFound("the image is another than that checksum's")
        return _file(file_name, data)

    def image_info(self, _caller: Caller, request: Request, _body: bytes) -> Response:
        return _json(self._desk.image_info(request.query_params.get("image", "")))

    def put_image(self, caller: Caller, request: Request, body: bytes) -> Response:
        form = _form(request, body)
        sent = form.file("file")
        if sent is None:
            raise bad_request("the file is missing; send it as `file`")
        key = request.query_params.get("image") or sent.name.split(".")[0]
        self._desk.guests.keep(caller.actor, sent.name, sent.data, key=key[:200])
        return _json({"image": key})

    def put_label(self, caller: Caller, request: Request, body: bytes) -> Response:
        form = _form(request, body)
        sent = form.file("label")
        if sent is None:
            raise bad_request("the label is missing; send it as the file `label`")
        name, tag = request.query_params.get("image", ""), request.query_params.get("tag") or "final"
        self._desk.save(caller.actor, name, tag[:40], form.params, sent)
        return _json({"image": name, "label": name})

    def label(self, caller: Caller, request: Request, _body: bytes) -> Response:
        query = request.query_params
        name = query.get("label") or query.get("image", "")
        file_name, data = self._desk.label(caller.actor, name, query.get("tag") or "final")
        return _file(file_name, data)

    def label_info(self, caller: Caller, request: Request, _body: bytes) -> Response:
        query = request.query_params
        return _json(self._desk.label_info(caller.actor, query.get("label", ""), query.get("tag") or "final"))

    def infer(self, caller: Caller, request: Request, body: bytes) -> Response:
        query = request.query_params
        form = _form(request, body) if body else Form({}, {})
        output = query.get("output", "all")
        answer = self._desk.inference.infer(
            caller.actor,
            request.path_params["model"],
            query.get("image", ""),
            query.get("session_id", ""),
            form,
            output,
        )
        return _answer(answer, output)

    def put_session(self, caller: Caller, request: Request, body: bytes) -> Response:
        sent = _form(request, body).files.get("files", ())
        if len(sent) != 1:
            raise bad_request("a session takes one file: .nii, .nii.gz or .nrrd")
        expiry = request.query_params.get("expiry", "0")
        guest = self._desk.guests.keep(
            caller.actor, sent[0].name, sent[0].data, expiry=float(expiry) if expiry.isdigit() else 0
        )
        return _json({"session_id": guest.key, "session_info": self._desk.session_info(guest)})

    def session(self, caller: Caller, request: Request, _body: bytes) -> Response:
        guest = self._desk.guests.find(caller.actor, request.path_params["key"])
        if request.query_params.get("image", "").lower() in ("true", "1"):
            return _file(guest.name, guest.path.read_bytes())
        return _json(self._desk.session_info(guest))

    def end_session(self, caller: Caller, request: Request, _body: bytes) -> Response:
        guest = self._desk.guests.find(caller.actor, request.path_params["key"])
        told = self._desk.session_info(guest)
        self._desk.guests.drop(caller.actor, guest.key)
        return _json(told)

    def training(self, _caller: Caller, request: Request, _body: bytes) -> Response:
        query = request.query_params
        task = self._desk.training.status(running_only=query.get("check_if_running", "").lower() in ("true", "1"))
        return _json([task.told()] if query.get("all", "").lower() in ("true", "1") else task.told())

    def train(self, caller: Caller, request: Request, body: bytes) -> Response:
        """Of one model, or in the older way of all, whose parameters are by model."""
        params = read_params(body)
        model = request.path_params.get("model")
        if model is not None:
            return _json(self._desk.training.start(model, params, actor=caller.actor).told())
        given = params.get("clicks")
        task = self._desk.training.start("clicks", given if isinstance(given, dict) else {}, actor=caller.actor)
        return _json({"clicks": {"result": task.told(), "detail": None}})

    def stop_training(self, caller: Caller, _request: Request, _body: bytes) -> Response:
        return _json(self._desk.training.stop(actor=caller.actor).told())

    def store(self, caller: Caller, request: Request, body: bytes) -> Response:
        """Segmentations that a viewer stores by STOW-RS become labels of who stored them."""
        status, told = self._desk.store(caller.actor, body, request.headers.get("content-type", ""))
        return Response(json.dumps(told), status, media_type="application/dicom+json", headers=_PRIVATE)


async def _body(request: Request, most: int) -> bytes:
    """Raises `WebFailure` (413) where more than `most` bytes come."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        raise WebFailure(413, "this is larger than this node takes")
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise WebFailure(413, "this is larger than this node takes")
        pieces.append(piece)
    return b"".join(pieces)


def _form(request: Request, body: bytes) -> Form:
    return read_form(body, request.headers.get("content-type", ""))


def _json(told: Any, status: int = 200) -> Response:
    return JSONResponse(told, status, headers=_PRIVATE)


def _file(name: str, data: bytes, kind: str = OCTETS) -> Response:
    headers = {**_PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, headers=headers, media_type=kind)


def _answer(answer: Answer, output: str) -> Response:
    if answer.data is None or output == "json":
        return _json(answer.params)
    if output in ("image", "dicom_seg"):
        return _file(answer.file_name, answer.data, "application/dicom" if output == "dicom_seg" else OCTETS)
    body, kind = write_result(answer.params, answer.file_name, answer.data)
    response = Response(body, headers=_PRIVATE)
    response.headers["Content-Type"] = kind
    return response


def _matches(check_sum: str, data: bytes) -> bool:
    from hashlib import sha256, sha512

    kind, mark, digest = check_sum.rpartition(":")
    made = {"": sha256, "SHA256": sha256, "SHA512": sha512}.get(kind.upper() if mark else "")
    return made is not None and made(data).hexdigest() == digest.lower()
