"""The engine's two ports across a process boundary: the same :class:`Coordinator` and :class:`Participant` on
both sides.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from wardround.federation.engine import (
    Coordinator,
    LegStart,
    LegStatus,
    Next,
    Participant,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
)
from wardround.federation.messages import MessageInvalid, pack, unpack
from wardround.federation.port import Answer, Peer, PortClient, PortClosed, PortServer
from wardround.foundation.stored import Held


class RemoteCoordinator:
    """The hub's coordinator, asked from the leg's own process. Calls are serialised."""

    def __init__(self, port: PortClient) -> None:
        self._port = port

    def begin(self, leg_id: str) -> LegStart:
        meta, arrays = self._port.call("begin", {"leg_id": leg_id})
        return unpack(LegStart, meta, arrays)

    def admit(self, header: UpdateHeader) -> None:
        self._port.call("admit", pack(header)[0])

    def commit(self, result: RoundResult) -> Next:
        meta, arrays = self._port.call("commit", *pack(result))
        return unpack(Next, meta, arrays)

    def ended(self, status: LegStatus) -> None:
        """Tell the hub's engine how the leg ended."""
        self._port.call("ended", pack(status)[0])


def answer_coordinator(coordinator: Coordinator, operation: str, meta: dict[str, Any], payload: Held) -> Answer:
    """Serve one request of a :class:`RemoteCoordinator`. Raises what the coordinator raises."""
    if operation == "begin":
        return pack(coordinator.begin(str(meta.get("leg_id"))))
    if operation == "admit":
        coordinator.admit(unpack(UpdateHeader, meta))
        return {}, b""
    if operation == "commit":
        return pack(coordinator.commit(unpack(RoundResult, meta, payload)))
    raise MessageInvalid("unknown operation")


class RemoteParticipant:
    """A node's participant, asked from the engine's process at that node.

    Every call opens a connection of its own, so that :meth:`abort` gets through while :meth:`take_part` runs, and a
    training process that was started anew is found at its new address.
    """

    def __init__(self, address_file: Path, patience: float = 60.0) -> None:
        self._address_file = address_file
        self._patience = patience

    def take_part(self, task: RoundTask) -> RoundUpdate:
        meta, update = self._call("take_part", *pack(task), patience=self._patience)
        return unpack(RoundUpdate, meta, update)

    def finish(self, leg_id: str, reason: str) -> None:
        self._call("finish", {"leg_id": leg_id, "reason": reason})

    def abort(self, leg_id: str, reason: str) -> None:
        self._call("abort", {"leg_id": leg_id, "reason": reason})

    def _call(self, operation: str, meta: dict[str, Any], payload: Held = b"", patience: float = 0.0) -> Answer:
        port = self._connect(patience)
        try:
            return port.call(operation, meta, payload)
        finally:
            port.close()

    def _connect(self, patience: float) -> PortClient:
        until = time.monotonic() + patience
        while True:
            try:
                return PortClient(self._address_file)
            except PortClosed:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.2)


class ParticipantPort:
    """Serves a node's participant to the engine's process: make one in the training process, close it at the end.

    One round of a run is worked on at a time. When a new leg of a run asks while an old leg's round still runs, the
    old one is aborted first and waited for.
    """

    def __init__(self, participant: Participant, address_file: Path) -> None:
        self._participant = participant
        self._lock = threading.Lock()
        self._working: dict[str, tuple[str, threading.Event]] = {}
        self._server = PortServer(self._handle, address_file)

    def close(self) -> None:
        self._server.close()

    def _handle(self, peer: Peer, operation: str, meta: dict[str, Any], payload: Held) -> Answer:
        if operation == "take_part":
            return self._take_part(unpack(RoundTask, meta, payload))
        leg_id, reason = str(meta.get("leg_id")), str(meta.get("reason"))
        if operation == "finish":
            self._participant.finish(leg_id, reason)
        elif operation == "abort":
            self._participant.abort(leg_id, reason)
        else:
            raise MessageInvalid("unknown operation")
        return {}, b""

    def _take_part(self, task: RoundTask) -> Answer:
        ended = threading.Event()
        while True:
            with self._lock:
                before = self._working.get(task.run_id)
                if before is None:
                    self._working[task.run_id] = (task.leg_id, ended)
                    break
            if before[0] != task.leg_id:
                self._participant.abort(before[0], "another leg of this run began")
            before[1].wait()
        try:
            return pack(self._participant.take_part(task))
        finally:
            with self._lock:
                del self._working[task.run_id]
            ended.set()
