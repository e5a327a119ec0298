"""The DICOMweb service as a web application: addresses, tokens, negotiation; PS3.18."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from wardround.dicom.network import Landing
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.node import audit
from wardround.node.dicomweb.accept import DICOM, DICOM_JSON, JSON, MULTIPART, MediaRange, accepted, choose
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.dicomweb.failure import WebFailure, bad_request, warning
from wardround.node.dicomweb.faults import answer_faults
from wardround.node.dicomweb.header import address_uid
from wardround.node.dicomweb.matching import Search, read_search
from wardround.node.dicomweb.multipart import PartReader, boundary_of, media_type
from wardround.node.dicomweb.qido import Found, Searches
from wardround.node.dicomweb.stow import Storing
from wardround.node.dicomweb.tokens import Caller, Scope, caller
from wardround.node.dicomweb.wado import Answer, Retrievals

log = logging.getLogger(__name__)

BASE = "/dicom-web"
_CUT = warning("there are more answers; ask again with a larger offset")
_NOT_FUZZY = warning("fuzzymatching is not supported; only literal matching was done")


class Resources(Protocol):
    """Resources that are served beside studies: `add_to` is told the base address, and what says whose a call is or
    raises `WebFailure`."""

    def add_to(self, app: FastAPI, base: str, who: Callable[[HTTPConnection, Scope], Caller]) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service stands on. `titles`: path to the AE title that what is stored counts as sent to.

    largest: bytes of one object that is stored. origins: web origins that may call (CORS). callers: whose call it is by
    its Authorization header; those of `tokens` if not given. worklist: other resources of the service, UPS-RS, if they
    are served.
    """

    database: Database
    catalogue: Catalogue
    landing: Landing
    titles: dict[str, str]
    clock: Clock
    largest: int = 1 << 30
    origins: Sequence[str] = ()
    callers: Callable[[str], Caller | None] | None = None
    worklist: Resources | None = None


def application(parts: Parts) -> FastAPI:
    """The service, at `/dicom-web`. Every call needs a token; every error is a status and one short line."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    service = _Service(parts)
    service.add_to(app)
    if parts.worklist is not None:
        parts.worklist.add_to(app, BASE, service.caller)
    answer_faults(app, log, "error")
    if parts.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(parts.origins),
            allow_methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"],
            allow_headers=["Authorization", "Accept", "Content-Type"],
            expose_headers=["Content-Location", "Location", "Warning"],
        )
    return app


class _Service:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._seen: set[tuple[str, str, date]] = set()

    def add_to(self, app: FastAPI) -> None:
        study, series, instance = "/studies/{study}", "/series/{series}", "/instances/{instance}"
        get = app.get
        for path, search in (
            ("/studies", self.search_studies),
            ("/series", self.search_series),
            (f"{study}/series", self.search_series),
            ("/instances", self.search_instances),
            (f"{study}/instances", self.search_instances),
            (f"{study}{series}/instances", self.search_instances),
        ):
            get(BASE + path)(search)
        for path in (study, study + series, study + series + instance):
            get(BASE + path)(self.objects)
            get(BASE + path + "/metadata")(self.metadata)
            get(BASE + path + "/rendered")(self.rendered)
            get(BASE + path + "/thumbnail")(self.thumbnail)
        one = study + series + instance
        get(BASE + one + "/frames/{frames}")(self.frames)
        get(BASE + one + "/frames/{frames}/rendered")(self.rendered)
        get(BASE + one + "/frames/{frames}/thumbnail")(self.thumbnail)
        get(BASE + one + "/bulkdata/{place:path}")(self.bulk)
        app.post(BASE + "/studies")(self.store)
        app.post(BASE + study)(self.store)

    # Plain functions run in threads of their own, so that a database or a disk holds up no other call.

    def search_studies(self, request: Request) -> Response:
        return self._search(request, lambda searches, search: searches.studies(search))

    def search_series(self, request: Request) -> Response:
        study, _, _ = _uids(request)
        return self._search(request, lambda searches, search: searches.series(search, study or None))

    def search_instances(self, request: Request) -> Response:
        study, series, _ = _uids(request)
        return self._search(request, lambda searches, search: searches.instances(search, study or None, series))

    def objects(self, request: Request) -> Response:
        retrievals, wanted = self._retrieving(request)
        return _sent(retrievals.objects(wanted, *_uids(request)))

    def metadata(self, request: Request) -> Response:
        retrievals, wanted = self._retrieving(request)
        return _sent(retrievals.metadata(wanted, *_uids(request)))

    def frames(self, request: Request) -> Response:
        retrievals, wanted = self._retrieving(request)
        return _sent(retrievals.frames(wanted, *_one(request), request.path_params["frames"]))

    def bulk(self, request: Request) -> Response:
        retrievals, wanted = self._retrieving(request)
        return _sent(retrievals.bulk(wanted, *_one(request), request.path_params["place"]))

    def rendered(self, request: Request) -> Response:
        return self._picture(request, thumbnail=False)

    def thumbnail(self, request: Request) -> Response:
        return self._picture(request, thumbnail=True)

    async def store(self, request: Request) -> Response:
        """Each part is stored as it comes in; the answer tells of every one."""
        who = await run_in_threadpool(self.caller, request, Scope.STORE)
        study = request.path_params.get("study")
        if study is not None:
            address_uid(study)
        kind = choose(_accepted(request), (DICOM_JSON, JSON))
        sent, parameters = media_type(request.headers.get("content-type", ""))
        if sent != MULTIPART or parameters.get("type", DICOM).lower() != DICOM:
            raise WebFailure(415, 'objects are taken as multipart/related; type="application/dicom"')
        reader = PartReader(boundary_of(parameters), largest=self._parts.largest)
        title = self._parts.titles[who.path.value]
        storing = Storing(self._parts.landing, called=title, calling=who.name.upper()[:16], study=study)
        async for piece in request.stream():
            for part in reader.feed(piece):
                await run_in_threadpool(storing.take, part)
        stored = storing.stored
        if not reader.ended or not (stored.taken or stored.failed):
            # What came whole is stored all the same; the sender, who isn't told so, sends it again.
            raise bad_request("the message ends before its last boundary, or holds no part")
        await run_in_threadpool(self._record_storing, who, len(stored.taken), len(stored.failed))
        return JSONResponse(stored.answer(), stored.status, media_type=kind)

    def _search(self, request: Request, find: Callable[[Searches, Search], Found]) -> Response:
        self.caller(request, Scope.READ)
        kind = choose(_accepted(request), (DICOM_JSON, JSON))
        search = read_search(request.query_params.multi_items())
        found = find(Searches(self._parts.database, _links(request)), search)
        warnings = [_NOT_FUZZY] * search.fuzzy + [_CUT] * found.more
        headers = {"Warning": ", ".join(warnings)} if warnings else {}
        if not found.answers:
            return Response(status_code=204, headers=headers)
        return Response(json.dumps(found.answers, separators=(",", ":")), headers=headers, media_type=kind)

    def _retrieving(self, request: Request) -> tuple[Retrievals, list[MediaRange]]:
        who = self.caller(request, Scope.READ)
        wanted = _accepted(request)
        self._record_viewing(who, _uids(request)[0])
        return Retrievals(self._parts.catalogue, _links(request)), wanted

    def _picture(self, request: Request, *, thumbnail: bool) -> Response:
        retrievals, wanted = self._retrieving(request)
        frames = request.path_params.get("frames", "")
        answer = retrievals.picture(wanted, request.query_params, *_uids(request), frames, thumbnail=thumbnail)
        return _sent(answer)

    def caller(self, request: HTTPConnection, scope: Scope) -> Caller:
        """Whose call it is. Raises `WebFailure` 401 or 403 where it may not be made."""
        header = request.headers.get("authorization", "")
        who = self._parts.callers(header) if self._parts.callers else caller(self._parts.database, header)
        if who is None:
            raise WebFailure(401, "a token is needed; ask the node's engineer")
        if who.scope is not scope:
            raise WebFailure(403, f"this token isn't for {scope.words}")
        return who

    def _record_viewing(self, who: Caller, study: str) -> None:
        """One row a day for each token and study."""
        key = (who.name, study, self._parts.clock().date())
        if key in self._seen or not self._parts.catalogue.knows(study):
            return
        self._seen = {one for one in self._seen if one[2] == key[2]} | {key}
        with self._parts.database.writing() as session:
            audit.record(session, who.actor, "view-study", study, clock=self._parts.clock)

    def _record_storing(self, who: Caller, taken: int, failed: int) -> None:
        detail = f"{taken} taken, {failed} refused"
        with self._parts.database.writing() as session:
            audit.record(session, who.actor, "store-objects", who.path.value, detail, clock=self._parts.clock)


def _sent(answer: Answer) -> Response:
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    if answer.length is not None:
        headers["Content-Length"] = str(answer.length)

    def pieces() -> Iterator[bytes]:
        yield from answer.pieces

    response = StreamingResponse(pieces(), answer.status, headers=headers)
    # Set as it is: a character set has no place behind a DICOM media type.
    response.headers["Content-Type"] = answer.content_type
    return response


def _accepted(request: Request) -> list[MediaRange]:
    return accepted(request.headers.getlist("accept"), request.query_params.get("accept"))


def _links(request: Request) -> Callable[[str], str]:
    base = f"{request.url.scheme}://{request.url.netloc}{BASE}/"
    return lambda place: base + place


def _uids(request: Request) -> tuple[str, str | None, str | None]:
    """Study, series and instance of the address, checked; the study is empty where none is named."""
    given = [request.path_params.get(name) for name in ("study", "series", "instance")]
    for uid in given:
        if uid is not None:
            address_uid(uid)
    return given[0] or "", given[1], given[2]


def _one(request: Request) -> tuple[str, str, str]:
    study, series, instance = _uids(request)
    return study, series or "", instance or ""
