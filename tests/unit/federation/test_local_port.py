"""The local port between a program and the engine's processes."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wardround.federation.engine import Declined, EngineError, RoundTask, RoundUpdate, UpdateRefused
from wardround.federation.port import Answer, Handler, Peer, PortClient, PortClosed, PortFailure, PortServer
from wardround.federation.remote import ParticipantPort, RemoteParticipant

PATIENCE = 30.0
Serve = Callable[..., PortServer]
Connect = Callable[[PortServer], PortClient]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    servers: list[PortServer] = []

    def start(handler: Handler, **settings: Any) -> PortServer:
        servers.append(PortServer(handler, tmp_path / "port", **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect() -> Iterator[Connect]:
    clients: list[PortClient] = []

    def open_one(server: PortServer) -> PortClient:
        clients.append(PortClient(server.address_file))
        return clients[-1]

    yield open_one
    for client in clients:
        client.close()


def echo(peer: Peer, operation: str, meta: dict[str, Any], payload: bytes) -> Answer:
    return {"operation": operation, **meta}, payload[::-1]


def test_requests_come_back_with_all_their_bytes(serve: Serve, connect: Connect) -> None:
    client = connect(serve(echo))
    payload = os.urandom(9_000_001)

    assert client.call("ask", {"a": 1}, payload) == ({"operation": "ask", "a": 1}, payload[::-1])
    assert client.call("again", {}) == ({"operation": "again"}, b"")


def test_the_address_file_is_for_its_owner_alone_and_goes_with_the_server(serve: Serve) -> None:
    server = serve(echo)

    assert stat.S_IMODE(server.address_file.stat().st_mode) == 0o600
    server.close()
    assert not server.address_file.exists()
    with pytest.raises(PortClosed):
        PortClient(server.address_file)


def test_a_client_without_the_key_is_not_served(serve: Serve, tmp_path: Path) -> None:
    called = threading.Event()

    def handler(peer: Peer, operation: str, meta: dict[str, Any], payload: bytes) -> Answer:
        called.set()
        return {}, b""

    address = json.loads(serve(handler).address_file.read_text())
    forged = tmp_path / "forged"
    forged.write_text(json.dumps({**address, "key": "00" * 32}))

    with pytest.raises(PortClosed):
        PortClient(forged)
    assert not called.is_set()


def test_a_client_that_never_answers_the_challenge_keeps_nobody_out(serve: Serve, connect: Connect) -> None:
    server = serve(echo)
    port = json.loads(server.address_file.read_text())["port"]

    with socket.create_connection(("127.0.0.1", port)):
        assert connect(server).call("ask", {}) == ({"operation": "ask"}, b"")


@pytest.mark.parametrize(
    ("raised", "expected", "text"),
    [
        (UpdateRefused("not-finite"), UpdateRefused, "not-finite"),
        (Declined("paused"), Declined, "paused"),
        (EngineError("this leg is over"), EngineError, "this leg is over"),
        (RuntimeError("/secret/patient.dcm"), PortFailure, "internal-error"),
    ],
)
def test_errors_arrive_as_what_they_are_and_unknown_ones_without_their_text(
    serve: Serve, connect: Connect, raised: Exception, expected: type[Exception], text: str
) -> None:
    def handler(peer: Peer, operation: str, meta: dict[str, Any], payload: bytes) -> Answer:
        raise raised

    with pytest.raises(expected) as caught:
        connect(serve(handler)).call("ask", {})
    assert str(caught.value) == text


def test_a_lost_connection_is_noticed_on_both_sides(serve: Serve, connect: Connect) -> None:
    gone = threading.Event()
    server = serve(echo, on_close=lambda peer: gone.set())
    first, second = connect(server), connect(server)
    first.call("ask", {})
    second.call("ask", {})

    first.close()
    assert gone.wait(PATIENCE)
    server.close()
    with pytest.raises(PortClosed):
        second.call("ask", {})


def test_the_serving_side_can_speak_first(serve: Serve, connect: Connect) -> None:
    peers: list[Peer] = []

    def handler(peer: Peer, operation: str, meta: dict[str, Any], payload: bytes) -> Answer:
        peers.append(peer)
        return {}, b""

    client = connect(serve(handler))
    client.call("listen", {})
    peers[0].send({"do": "abort"}, b"now")

    assert client.receive() == ({"do": "abort"}, b"now")


class Worker:
    """A participant that works on round 1 until it is told to stop."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.stopped = threading.Event()
        self.aborted: list[str] = []

    def take_part(self, task: RoundTask) -> RoundUpdate:
        if task.leg_id == "old":
            self.started.set()
            assert self.stopped.wait(PATIENCE)
            raise Declined("stopped")
        assert self.stopped.is_set(), "the old leg's round still runs"
        return RoundUpdate(1.0, {}, 1, None, task.arrays)

    def finish(self, leg_id: str, reason: str) -> None: ...

    def abort(self, leg_id: str, reason: str) -> None:
        self.aborted.append(leg_id)
        self.stopped.set()


def test_a_new_leg_of_a_run_takes_over_from_an_old_one_that_still_works(tmp_path: Path) -> None:
    worker = Worker()
    port = ParticipantPort(worker, tmp_path / "participant")
    remote = RemoteParticipant(tmp_path / "participant")
    outcome: list[str] = []

    def old_leg() -> None:
        try:
            remote.take_part(RoundTask("run", "old", 1, 2, {}, b"weights"))
        except Declined as declined:
            outcome.append(declined.reason)

    thread = threading.Thread(target=old_leg)
    thread.start()
    assert worker.started.wait(PATIENCE)

    update = remote.take_part(RoundTask("run", "new", 1, 2, {}, b"weights"))

    thread.join(PATIENCE)
    assert (update.update, worker.aborted, outcome) == (b"weights", ["old"], ["stopped"])
    port.close()
