"""One HTTPS channel to the hub: TLS 1.3, the hub's own root as the only trust anchor, its host name checked."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from weakref import WeakSet

import httpx
from pydantic import ValidationError

from wardround.contracts.frame import MEDIA_TYPE, FrameRefused
from wardround.contracts.limits import LARGEST_ANSWER
from wardround.contracts.outbound import API, Message, Refusal, Reply
from wardround.foundation.clock import now
from wardround.foundation.framing import FrameReader
from wardround.node.gateway.errors import HubFailed, HubRefused, HubUnreachable, HubUntrusted

CONNECT_SECONDS = 10
ANSWER_OVERHEAD = 16 * 1024 * 1024
LARGEST_REFUSAL = 64 * 1024


class Answer:
    """What came back: the reply, what was beside it, the size of both, and the hub's clock."""

    def __init__(self, reply: Reply, attachment: bytes, size: int, hub_time: datetime | None) -> None:
        self.reply = reply
        self.attachment = attachment
        self.size = size
        self.hub_time = hub_time


class Channel:
    """Connections to one port of the hub, kept open between calls; usable from several threads.

    Args:
        root: the root certificate (PEM) to trust, and no other.
        identity: certificate and key to prove who calls; none for the enrolment port.
    """

    def __init__(self, host: str, port: int, *, root: str, identity: tuple[Path, Path] | None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=root)
        if identity is not None:
            context.load_cert_chain(*identity)
        self._client = open_client(host, port, context)
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def post(self, header: bytes, attachment: bytes, kind: type[Message], *, patience: float) -> Answer:
        """Send one frame and read the answer, waiting for at most `patience` seconds between bytes.

        Raises:
            HubUnreachable: nobody answers, or the connection broke.
            HubUntrusted: another than our hub answers, or it doesn't accept our certificate.
            HubRefused: the hub said no.
        """
        size = len(header) + len(attachment) + 4
        headers = {"content-type": MEDIA_TYPE, "content-length": str(size)}
        timeout = httpx.Timeout(patience, connect=CONNECT_SECONDS, pool=None)
        try:
            with self._client.stream(
                "POST",
                f"/v{API}/exchange",
                content=_pieces(header, attachment),
                headers=headers,
                timeout=timeout,
                extensions={"trace": self._watch},
            ) as response:
                if response.status_code != 200:
                    raise _refused(response)
                reader = FrameReader(LARGEST_ANSWER + ANSWER_OVERHEAD)
                for piece in response.iter_raw():
                    reader.feed(piece)
                answer, beside = reader.finish()
                reply = kind.reply.model_validate_json(answer)
                return Answer(reply, beside, len(answer) + len(beside) + 4, hub_time(response))
        except httpx.TransportError as error:
            raise explained(error) from error
        except (FrameRefused, ValidationError):
            raise HubRefused(
                "the hub's answer can't be read by this version; use the hub's version of Wardround",
                code="answer-not-understood",
            ) from None

    def close(self) -> None:
        """Close all connections; a call that another thread makes on one fails at once."""
        for connection in list(self._sockets):
            # Closing a descriptor wakes nobody who reads from it; shutting the connection down does.
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self._client.close()

    def _watch(self, event: str, details: Mapping[str, Any]) -> None:
        if event == "connection.start_tls.complete":
            connection = details["return_value"].get_extra_info("socket")
            if isinstance(connection, socket.socket):
                self._sockets.add(connection)


def open_client(host: str, port: int, context: ssl.SSLContext) -> httpx.Client:
    """An HTTP client that looks at nothing in the environment: no proxy, no other roots."""
    authority = f"[{host}]" if ":" in host else host
    return httpx.Client(
        base_url=f"https://{authority}:{port}",
        verify=context,
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=30),
    )


def hub_time(response: httpx.Response) -> datetime | None:
    """The hub's clock as its `Date` header says (RFC 9110, 6.6.1)."""
    try:
        return parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        return None


def explained(error: httpx.TransportError) -> HubUnreachable | HubUntrusted:
    """What a broken connection means to whoever has to mend it."""
    cause = _tls_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        if cause.verify_code == 9:
            return HubUntrusted(
                f"the hub's certificate isn't valid yet by this machine's clock ({now():%Y-%m-%d %H:%M}Z); set it",
                code="clock-skewed",
            )
        if cause.verify_code == 10:
            return HubUntrusted(
                f"the hub's certificate has expired by this machine's clock ({now():%Y-%m-%d %H:%M}Z); set the clock, "
                "or tell the operator",
                code="hub-certificate-expired",
            )
        return HubUntrusted(
            "what answers there isn't this federation's hub (its certificate isn't from the hub's root, or is for "
            "another host); nothing was sent",
            code="wrong-root",
        )
    if cause is not None and "ALERT" in (cause.reason or ""):
        return HubUntrusted(
            "the hub doesn't accept this node's certificate; if it expired, ask for a new token and join anew",
            code="certificate-refused",
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return HubUnreachable("the hub doesn't answer; is it serving, and is its port reachable from here?")
    return HubUnreachable("the connection to the hub broke before it answered; try again", code="no-answer")


def _tls_cause(error: BaseException) -> ssl.SSLError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _refused(response: httpx.Response) -> HubRefused | HubFailed:
    body = b""
    for piece in response.iter_raw():
        body += piece
        if len(body) > LARGEST_REFUSAL:
            break
    try:
        refusal = Refusal.model_validate_json(body)
    except ValidationError:
        refusal = Refusal(code="hub-failed", message=f"the hub answered with HTTP status {response.status_code}")
    if response.status_code >= 500:
        return HubFailed(refusal.message)
    return HubRefused(refusal.message, code=refusal.code)


def _pieces(header: bytes, attachment: bytes) -> Iterator[bytes]:
    yield len(header).to_bytes(4, "big") + header
    if attachment:
        yield attachment
