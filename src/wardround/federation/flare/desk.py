"""The hub's side of the transport: answers the sites of one leg."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.message import Message

from wardround.federation.engine import LegEnd, RoundTask, RoundUpdate, UpdateRefused
from wardround.federation.flare.transport import (
    CHANNEL,
    DELIVERY_SECONDS,
    PULL_SECONDS,
    TOPIC,
    decode,
    encode,
    pieces_of,
)
from wardround.federation.leg import Leg
from wardround.federation.messages import MessageInvalid, pack, unpack
from wardround.federation.spool import Spool, discard
from wardround.federation.travelling import Travelling
from wardround.foundation.stored import PIECE, Held, Stored

SLACK = 64 * 1024


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
        self._serving: Counter[str] = Counter()
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
        if kind == "alive":
            return self._alive(site)
        with self._lock:
            self._serving[site] += 1
        try:
            return self._serve_round(site, kind, number, head, body)
        finally:
            with self._lock:
                self._serving[site] -= 1

    def _alive(self, site: str) -> bytes:
        """Tells the site how many of its other requests wait here for their answer: what it waits for beyond those was
        lost on the way.
        """
        end = self._leg.alive(site)
        if end is not None:
            return encode({"end": end.state.value, "reason": end.reason})
        with self._lock:
            return encode({"serving": self._serving[site]})

    def _serve_round(self, site: str, kind: Any, number: int, head: dict[str, Any], body: memoryview) -> bytes:
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
