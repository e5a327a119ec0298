"""Rounds over FLARE's own messaging: one request channel, answered when there is something to say.

A site pulls the next round and waits in that request until the hub's aggregate is ready, so that no timer sits
in a round. Arrays travel in pieces of at most 4 MiB. The site's name is taken from the origin of the message,
which FLARE ties to the certificate of the connection and to the token that it gave at registration; nothing in
the message can claim another.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.message import Message

from wardround.federation.engine import EngineError, RoundTask, RoundUpdate, UpdateRefused
from wardround.federation.leg import Leg, LegEnd
from wardround.federation.messages import MessageInvalid, pack, unpack
from wardround.foundation.stored import view as view_of

CHANNEL = "wardround"
TOPIC = "leg"
PIECE = 4 * 1024 * 1024
PULL_SECONDS = 20.0
REPLY_SECONDS = 30.0
PATIENCE_SECONDS = 6 * 3600.0
"""How long a site's process goes on asking a hub that doesn't answer: the network may be back in minutes. A leg that is
over at the hub is ended here by the engine's client as soon as that reaches the hub again."""
LONGEST_PAUSE = 2.0
SLACK = 64 * 1024


class HubLost(EngineError):
    """The leg's process at the hub doesn't answer."""


def encode(head: dict[str, Any], body: bytes | memoryview = b"") -> bytes:
    """A message's payload: the length of its head (4 bytes, big-endian), the head as JSON, the body."""
    text = json.dumps(head, allow_nan=False).encode()
    return b"".join((len(text).to_bytes(4, "big"), text, body))


def decode(payload: Any) -> tuple[dict[str, Any], memoryview]:
    """Raises :class:`MessageInvalid`."""
    if not isinstance(payload, bytes | bytearray | memoryview) or len(payload) < 4:
        raise MessageInvalid("not a message of this channel")
    view = memoryview(payload)
    size = int.from_bytes(view[:4], "big")
    if size > len(view) - 4:
        raise MessageInvalid("the message is cut short")
    try:
        head = json.loads(bytes(view[4 : 4 + size]))
    except ValueError as error:
        raise MessageInvalid("the head isn't JSON") from error
    if not isinstance(head, dict):
        raise MessageInvalid("the head isn't an object")
    return head, view[4 + size :]


def pieces_of(size: int) -> int:
    return max(1, -(-size // PIECE))


@dataclass
class _Incoming:
    """Pieces of one site's update as they come."""

    number: int
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0

    def take(self, index: Any, body: memoryview) -> bool:
        """Whether this piece is the next one, or the last one again."""
        if index == len(self.pieces):
            self.pieces.append(bytes(body))
            self.size += len(body)
            return True
        return bool(self.pieces) and index == len(self.pieces) - 1 and self.pieces[-1] == body

    def whole(self) -> bytes:
        joined = b"".join(self.pieces)
        self.pieces.clear()
        return joined


class HubDesk:
    """Answers the sites of one leg, in the leg's process at the hub."""

    def __init__(self, cell: CoreCell, leg: Leg, job_id: str) -> None:
        self._leg = leg
        self._job_id = job_id
        self._incoming: dict[str, _Incoming] = {}
        self._offered: dict[str, RoundTask] = {}
        self._counted: dict[str, int] = {}
        self._lock = threading.Lock()
        cell.register_request_cb(CHANNEL, TOPIC, self._answer)

    def _answer(self, message: Message) -> Message:
        origin = FQCN.split(str(message.get_header(MessageHeaderKey.ORIGIN)))
        try:
            if len(origin) != 2 or origin[1] != self._job_id:
                raise UpdateRefused("unknown-site")
            head, body = decode(message.payload)
            reply = self._serve(origin[0], head, body)
        except UpdateRefused as refused:
            reply = encode({"refused": refused.reason})
        except MessageInvalid:
            reply = encode({"refused": "unreadable"})
        answer = Message(payload=reply)
        answer.set_header(MessageHeaderKey.RETURN_CODE, ReturnCode.OK)
        return answer

    def _serve(self, site: str, head: dict[str, Any], body: memoryview) -> bytes:
        kind, number = head.get("kind"), head.get("round", 0)
        if not isinstance(number, int):
            raise MessageInvalid("round")
        if kind == "pull":
            return self._offer(site, number)
        end = self._leg.alive(site)
        if kind == "piece":
            return self._piece(site, number, head.get("index"))
        if kind == "push":
            return self._push(site, number, head, body)
        if kind == "decline":
            self._leg.decline(site, number, str(head.get("reason", ""))[:200])
        return encode({} if end is None else {"end": end.state.value, "reason": end.reason})

    def _offer(self, site: str, after: int) -> bytes:
        offered = self._leg.offer(site, after, PULL_SECONDS)
        if offered is None:
            return encode({"wait": True})
        if isinstance(offered, LegEnd):
            return encode({"end": offered.state.value, "reason": offered.reason})
        with self._lock:
            self._offered[site] = offered
            self._incoming.pop(site, None)
        head = {"task": pack(offered)[0], "turn": offered.turn, "size": len(offered.arrays)}
        return encode(head, memoryview(offered.arrays)[:PIECE])

    def _piece(self, site: str, number: int, index: Any) -> bytes:
        with self._lock:
            offered = self._offered.get(site)
        if offered is None or offered.turn != number or not isinstance(index, int) or index < 0:
            raise UpdateRefused("wrong-round")
        return encode({}, memoryview(offered.arrays)[index * PIECE : (index + 1) * PIECE])

    def _push(self, site: str, number: int, head: dict[str, Any], body: memoryview) -> bytes:
        """Take one piece of an update. A piece whose answer was lost comes again and is taken once."""
        index, last = head.get("index"), "update" in head
        with self._lock:
            if last and self._counted.get(site) == number:
                return encode({"counted": True})
            offered = self._offered.get(site)
            if offered is None:
                raise UpdateRefused("not-in-round")
            if index == 0:
                self._incoming[site] = _Incoming(number)
            incoming = self._incoming.get(site)
            if incoming is None or incoming.number != number or not incoming.take(index, body):
                raise UpdateRefused("unreadable")
            if incoming.size > (offered.largest_answer or len(offered.arrays)) + SLACK:
                self._incoming.pop(site)
                raise self._leg.reject(site, number, "too-large")
            if not last:
                return encode({})
            self._incoming.pop(site)
        update = unpack(RoundUpdate, head["update"], incoming.whole())
        self._leg.deliver(site, number, update)
        with self._lock:
            self._counted[site] = number
        return encode({"counted": True})


class SiteLine:
    """A site's side: asks the leg's process at the hub. Safe for use from several threads."""

    def __init__(
        self, cell: CoreCell, job_id: str, gave_up: Callable[[], bool], patience: float = PATIENCE_SECONDS
    ) -> None:
        self._cell = cell
        self._target = FQCN.join([FQCN.ROOT_SERVER, job_id])
        self._gave_up = gave_up
        self._patience = patience

    def pull(self, done: int) -> RoundTask | LegEnd:
        """Wait for the round after ``done``, or the end. Raises :class:`HubLost` and :class:`UpdateRefused`."""
        while True:
            head, body = self._ask({"kind": "pull", "round": done}, seconds=PULL_SECONDS + REPLY_SECONDS)
            if (end := _end_in(head)) is not None:
                return end
            if "task" in head:
                return self._fetch(head, body)

    def _fetch(self, head: dict[str, Any], first: memoryview) -> RoundTask:
        parts, number = [bytes(first)], head.get("turn")
        for index in range(1, pieces_of(int(head.get("size", 0)))):
            parts.append(bytes(self._ask({"kind": "piece", "round": number, "index": index})[1]))
        arrays = b"".join(parts)
        if len(arrays) != head.get("size"):
            raise MessageInvalid("the round's arrays are incomplete")
        return unpack(RoundTask, head["task"], arrays)

    def push(self, number: int, update: RoundUpdate) -> None:
        """Send an update in pieces and wait until it is counted. Raises :class:`UpdateRefused`,
        :class:`HubLost`.
        """
        meta, payload = pack(update)
        view, count = view_of(payload), pieces_of(len(payload))
        for index in range(count):
            head: dict[str, Any] = {"kind": "push", "round": number, "index": index}
            if index == count - 1:
                head["update"] = meta
            self._ask(head, view[index * PIECE : (index + 1) * PIECE], seconds=120.0)

    def decline(self, number: int, reason: str) -> None:
        self._ask({"kind": "decline", "round": number, "reason": reason})

    def alive(self) -> LegEnd | None:
        """Say that the site is there while it works. Returns the leg's end if there is one."""
        head, _ = self._ask({"kind": "alive"}, seconds=5.0, patience=0.0)
        return _end_in(head)

    def _ask(
        self,
        head: dict[str, Any],
        body: bytes | memoryview = b"",
        seconds: float = REPLY_SECONDS,
        patience: float | None = None,
    ) -> tuple[dict[str, Any], memoryview]:
        until = time.monotonic() + (self._patience if patience is None else patience)
        payload, pause = encode(head, body), 0.1
        while True:
            reply = self._cell.send_request(
                channel=CHANNEL, topic=TOPIC, target=self._target, request=Message(payload=payload), timeout=seconds
            )
            if reply.get_header(MessageHeaderKey.RETURN_CODE) == ReturnCode.OK:
                answer, rest = decode(reply.payload)
                if "refused" in answer:
                    raise UpdateRefused(str(answer["refused"]))
                return answer, rest
            if self._gave_up() or time.monotonic() >= until:
                raise HubLost("the hub's leg doesn't answer")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _end_in(head: dict[str, Any]) -> LegEnd | None:
    if "end" not in head:
        return None
    return unpack(LegEnd, {"state": head["end"], "reason": head.get("reason", "")})
