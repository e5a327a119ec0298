"""The two HTTP applications: enrolment (before a site has a certificate) and the exchange (members only)."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from wardround.contracts.base import Frozen
from wardround.contracts.frame import MEDIA_TYPE, FrameRefused
from wardround.contracts.limits import LIMITS
from wardround.contracts.outbound import API, OUTBOUND, JoinRequest, Message, Refusal
from wardround.foundation.certificates import pem
from wardround.foundation.clock import Clock
from wardround.foundation.errors import Conflict, NotAllowed, NotFound, WardroundError
from wardround.foundation.framing import FrameReader
from wardround.hub.api.exchange import Caller, Exchange
from wardround.hub.home import HubHome
from wardround.hub.sites.admission import Admission

FRAME_OVERHEAD = 4
STATUS: tuple[tuple[type[WardroundError], int], ...] = ((NotAllowed, 403), (NotFound, 404), (Conflict, 409))


class BodyRefused(WardroundError):
    code = "body-refused"


class FrameResponse(Response):
    """A frame sent as two pieces, so that a large attachment isn't copied to join its header."""

    media_type = MEDIA_TYPE

    def __init__(self, reply: Frozen, attachment: bytes) -> None:
        header = reply.model_dump_json().encode()
        super().__init__(content=len(header).to_bytes(FRAME_OVERHEAD, "big") + header)
        self._attachment = attachment
        self.headers["content-length"] = str(len(self.body) + len(attachment))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await send({"type": "http.response.body", "body": self._attachment})


def enrolment(home: HubHome, exchange: Exchange, clock: Clock) -> FastAPI:
    """Server-authenticated only: the root, and `JoinRequest`."""
    app = _bare_app()

    @app.get(f"/v{API}/root")
    async def root() -> Response:
        return Response(pem(home.root.certificate), media_type="application/pem-certificate-chain")

    @app.post(f"/v{API}/exchange")
    async def join(request: Request) -> Response:
        message, attachment = await _read(request, home, only=JoinRequest)
        return FrameResponse(*await exchange.answer(Caller("", home, clock), message, attachment))

    return app


def membership(home: HubHome, exchange: Exchange, clock: Clock) -> FastAPI:
    """The exchange, for members: the TLS stack asked for a certificate, this asks whether it is a member's."""
    app = _bare_app()
    admission = Admission(home.database)

    @app.post(f"/v{API}/exchange")
    async def answer(request: Request) -> Response:
        certificate: bytes = request.state.peer_certificate
        site = await run_sync(admission.admit, certificate, clock())
        message, attachment = await _read(request, home)
        if isinstance(message, JoinRequest):
            raise NotAllowed("a member doesn't join; the enrolment port is for that", code="joined-already")
        return FrameResponse(*await exchange.answer(Caller(site, home, clock), message, attachment))

    return app


async def _read(request: Request, home: HubHome, only: type[Message] | None = None) -> tuple[Message, bytes]:
    """The message and its attachment, read no further than its kind allows."""
    reader = FrameReader(_largest(only, home) if only else home.settings.largest_attachment + 16 * 1024 * 1024)
    message: Message | None = None
    try:
        async for piece in request.stream():
            reader.feed(piece)
            if message is None and reader.header is not None:
                message = OUTBOUND.validate_json(reader.header)
                if only is not None and not isinstance(message, only):
                    raise NotAllowed("only a request to join is taken here", code="not-a-member")
                reader.tighten(_largest(type(message), home))
        header, attachment = reader.finish()
    except FrameRefused as error:
        raise BodyRefused(f"{error}") from error
    except ValidationError:
        raise BodyRefused(
            f"the message isn't one of version {API} of the contract; use the hub's version of Wardround"
        ) from None
    if message is None:
        raise BodyRefused("the body holds no message")
    if len(header) > LIMITS[type(message)].header:
        raise BodyRefused(f"the message is larger than {LIMITS[type(message)].header} bytes")
    return message, attachment


def _largest(kind: type[Message], home: HubHome) -> int:
    limit = LIMITS[kind]
    return FRAME_OVERHEAD + limit.header + min(limit.attachment, home.settings.largest_attachment)


def _bare_app() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(WardroundError)
    async def refused(_request: Request, error: WardroundError) -> Response:
        status = next((status for kind, status in STATUS if isinstance(error, kind)), 400)
        return _refusal(status, error.code, str(error))

    @app.exception_handler(404)
    async def nothing_here(_request: Request, _error: Exception) -> Response:
        return _refusal(404, "other-version", f"this hub speaks version {API} of the contract; use its version")

    @app.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> Response:
        return _refusal(500, "hub-failed", "the hub failed at this; its log says where")

    return app


def _refusal(status: int, code: str, message: str) -> Response:
    refusal = Refusal(code=code, message=message)
    return Response(refusal.model_dump_json(), status_code=status, media_type="application/json")
