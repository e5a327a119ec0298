"""Requests that don't wait for an answer which can't come any more."""

from __future__ import annotations

from typing import Any

from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.endpoint import Endpoint, EndpointMonitor
from nvflare.fuel.f3.message import Message


class Requests(EndpointMonitor):  # type: ignore[misc]  # nvflare has no types
    """Sends requests by a cell; those under way when one of its connections comes or goes end there and then, as if
    their time were over.

    A request that was sent into a connection which was cut is lost, and the cell notices it by the time alone, which
    is long where much travels. Whoever asks has to ask again, and whoever answers to bear with being asked twice.
    Safe for use from several threads.
    """

    def __init__(self, cell: CoreCell) -> None:
        self._cell = cell
        self._under_way: dict[int, Message] = {}
        cell.communicator.register_monitor(self)

    def send(self, channel: str, topic: str, target: str, payload: Any, timeout: float) -> Message:
        """The reply, or one that says why there is none; `timeout` in seconds."""
        request = Message(payload=payload)
        self._under_way[id(request)] = request
        try:
            return self._cell.send_request(
                channel=channel, topic=topic, target=target, request=request, timeout=timeout
            )
        finally:
            del self._under_way[id(request)]

    def state_change(self, endpoint: Endpoint) -> None:
        """A connection came or went: FLARE calls this."""
        self.end_waiting()

    def end_waiting(self) -> None:
        """End those under way, as if their time were over."""
        for request in list(self._under_way.values()):
            waiter = self._cell.waiters.get(request.get_header(MessageHeaderKey.REQ_ID))
            if waiter is not None:
                waiter.set()
