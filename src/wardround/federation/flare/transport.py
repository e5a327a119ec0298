"""Rounds over FLARE's own messaging: one request channel, answered when there is something to say.

A site pulls the next round and waits in that request until the hub's aggregate is ready, so that no timer sits
in a round. Arrays travel in pieces of at most 4 MiB, each in a request of its own, and lie in files on both sides: an
update is the leg's once its last piece is here, and until then takes disk up to what the round allows and no memory.
What goes to the sites is packed on the way, piece by piece; an update was packed by the node.
The site's name is taken from the origin of the message,
which FLARE ties to the certificate of the connection and to the token that it gave at registration; nothing in
the message can claim another.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.message import Message

from wardround.federation.engine import EngineError, RoundTask, RoundUpdate, UpdateRefused
from wardround.federation.leg import Leg, LegEnd
from wardround.federation.messages import MessageInvalid, pack, unpack
from wardround.federation.spool import Spool, discard
from wardround.federation.travelling import Travelling, arrived
from wardround.foundation.stored import PIECE, Held, Stored, pieces

CHANNEL = "wardround"
TOPIC = "leg"
PULL_SECONDS = 20.0
REPLY_SECONDS = 30.0
PATIENCE_SECONDS = 6 * 3600.0
"""How long a site's process goes on asking a hub that doesn't answer: the network may be back in minutes. A leg that is
over at the hub is ended here by the engine's client as soon as that reaches the hub again."""
LONGEST_PAUSE = 2.0
DELIVERY_SECONDS = 120.0
"""How long a site waits for its update to be looked at, admitted and counted, before it asks again."""
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


class _Incoming:
    """Pieces of one site's update of one turn as they come, in a file where they are several."""

    def __init__(self, spool: Spool, turn: int, size: int) -> None:
        self.turn, self.size = turn, size
        self.ended = threading.Event()
        self.refused: UpdateRefused | None = None
        self._handed = False
        self._next = 0
        self._lock = threading.Lock()
        self._whole: Held = b"" if size <= PIECE else Stored(spool.new(), size)

    def take(self, index: int, body: memoryview) -> bool:
        """Keep this piece if it is the next one, or the last one again. False: it is one that can't be. A piece that
        comes late, when others were taken since, is passed over.
        """
        with self._lock:
            if index > self._next or len(body) != min(PIECE, self.size - index * PIECE):
                return False
            if index < self._next - 1 or self._handed:
                return True
            if isinstance(self._whole, Stored):
                with self._whole.path.open("r+b" if self._next else "xb", buffering=0) as file:
                    file.seek(index * PIECE)
                    file.write(body)
            else:
                self._whole = bytes(body)
            self._next = index + 1
            return True

    def hand_over(self) -> Held | None:
        """All of it, to the one who asks first; None to others. Raises :class:`UpdateRefused` where some is missing."""
        with self._lock:
            if self._next != pieces_of(self.size):
                raise UpdateRefused("unreadable")
            first, self._handed = not self._handed, True
            return self._whole if first else None

    def drop(self) -> None:
        """Remove what came, unless it is in the round's hands."""
        with self._lock:
            if not self._handed or self.refused is not None:
                discard(self._whole)


class HubDesk:
    """Answers the sites of one leg, in the leg's process at the hub."""

    def __init__(self, cell: CoreCell, leg: Leg, job_id: str) -> None:
        self._leg = leg
        self._job_id = job_id
        self._incoming: dict[str, _Incoming] = {}
        self._offered: dict[str, tuple[RoundTask, Travelling]] = {}
        self._newest: Travelling | None = None
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
            # All sites of a round are given the same, mostly: packed once for them.
            if self._newest is None or self._newest.held is not offered.arrays:
                self._newest = Travelling(offered.arrays, self._leg.spool)
            arrays = self._newest
            self._offered[site] = offered, arrays
            dropped = self._incoming.pop(site, None)
        if dropped is not None:
            dropped.drop()
        told = {"task": pack(offered)[0], "turn": offered.turn, "size": arrays.size}
        return self._sent(site, offered.turn, arrays, 0, told)

    def _sent(self, site: str, number: int, arrays: Travelling, index: int, told: dict[str, Any]) -> bytes:
        body, packed = arrays.piece(index)
        self._leg.sent(site, number, len(body))
        return encode({**told, "packed": packed}, body)

    def _piece(self, site: str, number: int, index: Any) -> bytes:
        with self._lock:
            offered = self._offered.get(site)
        if offered is None or offered[0].turn != number or not isinstance(index, int) or index < 0:
            raise UpdateRefused("wrong-round")
        return self._sent(site, number, offered[1], index, {})

    def _push(self, site: str, number: int, head: dict[str, Any], body: memoryview) -> bytes:
        """Take one piece of an update. A piece whose answer was lost comes again and is taken once.

        1. the site was offered this turn, and says with every piece how large all of it is: no larger than the turn
           allows, before any of it is kept;
        2. pieces come in their order, each of the one size that it can have;
        3. with the last one all of it goes to the leg, once; whoever asks again hears what became of it.
        """
        index, size = head.get("index"), head.get("size")
        if type(index) is not int or type(size) is not int or index < 0 or size < 0:
            raise UpdateRefused("unreadable")
        with self._lock:
            offered = self._offered.get(site)
            if offered is None:
                raise UpdateRefused("not-in-round")
            task, given = offered
            incoming = self._incoming.get(site)
            if index == 0 and (incoming is None or incoming.turn != number):
                if size > (task.largest_answer or given.size) + SLACK:
                    raise self._leg.reject(site, number, "too-large")
                incoming = self._incoming[site] = _Incoming(self._leg.spool, number, size)
        if incoming is None or incoming.turn != number:
            raise self._leg.reject(site, number, "unreadable") if task.turn == number else UpdateRefused("wrong-round")
        if incoming.size != size or not incoming.take(index, body):
            raise self._leg.reject(site, number, "unreadable")
        if index < pieces_of(size) - 1:
            return encode({})
        return self._hand_over(site, incoming, head.get("update"))

    def _hand_over(self, site: str, incoming: _Incoming, told: Any) -> bytes:
        whole = incoming.hand_over()
        if whole is None:
            if not incoming.ended.wait(DELIVERY_SECONDS):
                raise UpdateRefused("internal-error")
        else:
            incoming.refused = UpdateRefused("internal-error")
            try:
                self._leg.deliver(site, incoming.turn, unpack(RoundUpdate, told, whole))
                incoming.refused = None
            except MessageInvalid:
                incoming.refused = self._leg.reject(site, incoming.turn, "unreadable")
            except UpdateRefused as refused:
                incoming.refused = refused
            finally:
                if incoming.refused is not None:
                    incoming.drop()
                incoming.ended.set()
        if incoming.refused is not None:
            raise incoming.refused
        return encode({"counted": True})


class SiteLine:
    """A site's side: asks the leg's process at the hub. Safe for use from several threads."""

    def __init__(
        self,
        cell: CoreCell,
        job_id: str,
        gave_up: Callable[[], bool],
        spool: Spool,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._cell = cell
        self._spool = spool
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
        size = head.get("size")
        if type(size) is not int or size < 0:
            raise MessageInvalid("size")
        try:
            first = arrived(first, head.get("packed") is True, 0, size)
            arrays = self._spool.keep(self._pieces(head.get("turn"), first, size), size)
        except ValueError as error:
            raise MessageInvalid("the round's arrays are incomplete") from error
        return unpack(RoundTask, head["task"], arrays)

    def _pieces(self, turn: Any, first: memoryview, size: int) -> Iterator[memoryview]:
        yield first
        for index in range(1, pieces_of(size)):
            head, body = self._ask({"kind": "piece", "round": turn, "index": index})
            yield arrived(body, head.get("packed") is True, index, size)

    def push(self, number: int, update: RoundUpdate) -> None:
        """Send an update in pieces and wait until it is counted. Raises :class:`UpdateRefused`,
        :class:`HubLost`.
        """
        meta, held = pack(update)
        size = len(held)
        for index, body in enumerate(pieces(held) if size else [b""]):
            head: dict[str, Any] = {"kind": "push", "round": number, "index": index, "size": size}
            if index == pieces_of(size) - 1:
                head["update"] = meta
            self._ask(head, body, seconds=DELIVERY_SECONDS)

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
