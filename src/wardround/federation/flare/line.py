"""A site's side of the transport: asks the leg's process at the hub. It knows nothing of how a leg is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.message import Message

from wardround.federation.engine import EngineError, LegEnd, RoundTask, RoundUpdate, UpdateRefused
from wardround.federation.flare.requests import Requests
from wardround.federation.flare.transport import (
    CHANNEL,
    DELIVERY_SECONDS,
    PULL_SECONDS,
    TOPIC,
    decode,
    encode,
    pieces_of,
)
from wardround.federation.messages import MessageInvalid, pack, unpack
from wardround.federation.spool import Spool
from wardround.federation.travelling import arrived
from wardround.foundation.stored import pieces

REPLY_SECONDS = 30.0
PATIENCE_SECONDS = 6 * 3600.0
"""How long a site's process goes on asking a hub that doesn't answer: the network may be back in minutes. A leg that is
over at the hub is ended here by the engine's client as soon as that reaches the hub again."""
LONGEST_PAUSE = 2.0


class HubLost(EngineError):
    """The leg's process at the hub doesn't answer."""


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
        self._requests = Requests(cell)
        self._spool = spool
        self._target = FQCN.join([FQCN.ROOT_SERVER, job_id])
        self._gave_up = gave_up
        self._patience = patience
        self._asked = self._waiting_for = self._unserved = 0

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
        """Say that the site is there while it works. Returns the leg's end if there is one.

        Where the hub twice says that it serves nothing of this site's while this site has waited for one and the same
        answer all along, request or answer was lost on the way, and it is asked again: connections that hold needn't
        have carried all of it, and the time for an answer is long, since much may travel in it.
        """
        waiting_for = self._waiting_for
        head, _ = self._ask({"kind": "alive"}, seconds=5.0, patience=0.0)
        if waiting_for and waiting_for == self._waiting_for and head.get("serving") == 0:
            if self._unserved == waiting_for:
                self._requests.end_waiting()
            self._unserved = waiting_for
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
            reply = self._sent(head["kind"], payload, seconds)
            if reply.get_header(MessageHeaderKey.RETURN_CODE) == ReturnCode.OK:
                answer, rest = decode(reply.payload)
                if "refused" in answer:
                    raise UpdateRefused(str(answer["refused"]))
                return answer, rest
            if self._gave_up() or time.monotonic() >= until:
                raise HubLost("the hub's leg doesn't answer")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _sent(self, kind: str, payload: bytes, seconds: float) -> Message:
        if kind == "alive":
            return self._requests.send(CHANNEL, TOPIC, self._target, payload, timeout=seconds)
        self._asked += 1
        self._waiting_for = self._asked
        try:
            return self._requests.send(CHANNEL, TOPIC, self._target, payload, timeout=seconds)
        finally:
            self._waiting_for = 0


def _end_in(head: dict[str, Any]) -> LegEnd | None:
    if "end" not in head:
        return None
    return unpack(LegEnd, {"state": head["end"], "reason": head.get("reason", "")})
