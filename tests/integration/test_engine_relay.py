"""The relay carries what it is given, both ways, and counts all of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.federation_lab import PATIENCE, free_ports
from tests.node_home import node_home

from wardround.node.gateway.gateway import Gateway
from wardround.node.gateway.relay import Relay, engine_relay
from wardround.node.gateway.tables import Egress
from wardround.node.home import NodeHome

UP = bytes(range(253)) * 20_000


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """A server that does this with each connection, all of them at once."""

    def served(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=served, args=(server.accept()[0],), daemon=True).start()

    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield ("127.0.0.1", server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(PATIENCE)


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that answers with what it was sent, reversed, once the sender is done."""

    def serve(connection: socket.socket) -> None:
        received = bytearray()
        while piece := connection.recv(65536):
            received += piece
        connection.sendall(bytes(received[::-1]) * 2)

    with serving(serve) as address:
        yield address


def _through(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while piece := connection.recv(65536):
            answer += piece
    return bytes(answer)


@pytest.fixture
def moody() -> Iterator[tuple[str, int]]:
    """A server that answers each piece, until it is sent one that says `hush`."""

    def serve(connection: socket.socket) -> None:
        answers = True
        while piece := connection.recv(65536):
            answers = answers and piece != b"hush"
            if answers:
                connection.sendall(piece)

    with serving(serve) as address:
        yield address


def test_a_connection_that_the_network_lost_without_a_word_is_given_up_and_others_are_not(
    moody: tuple[str, int],
) -> None:
    relay = Relay(moody, lambda up, down: None, told_every=0.1, silent_for=3.0)
    port = relay.start()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as lost,
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as quiet,
    ):
        for one in (lost, quiet):
            one.sendall(b"there?")
            assert one.recv(100) == b"there?"
        lost.sendall(b"hush")
        with suppress(ConnectionResetError):
            assert lost.recv(100) == b""
        # What nothing went up on since its last answer may be silent for as long as it likes.
        quiet.sendall(b"still?")
        assert quiet.recv(100) == b"still?"
    relay.stop()


def test_a_hub_that_takes_no_connection_is_not_waited_for() -> None:
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # and nobody accepts: further connections are neither made nor refused
        first.connect(full.getsockname())
        relay = Relay(full.getsockname(), lambda up, down: None, dial_for=0.2)
        with socket.create_connection(("127.0.0.1", relay.start()), timeout=PATIENCE) as connection:
            assert connection.recv(100) == b""
        relay.stop()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[NodeHome]:
    with node_home(tmp_path) as made:
        yield made


def test_bytes_pass_whole_and_are_on_the_egress_log(echo: tuple[str, int], home: NodeHome) -> None:
    gateway = Gateway(home)
    relay = engine_relay(gateway, "r1", echo)
    port = relay.start()
    assert _through(port, UP) == UP[::-1] * 2
    assert _through(port, b"again") == b"niaga" * 2
    relay.stop()
    with home.database.reading() as session:
        rows = session.scalars(select(Egress)).all()
        _check(rows)


def _check(rows: Sequence[Egress]) -> None:
    assert {(row.kind, row.run, row.outcome) for row in rows} == {("engine-traffic", "r1", "carried")}
    assert sum(row.size for row in rows) == len(UP) + 5
    assert sum(row.answer_bytes or 0 for row in rows) == 2 * (len(UP) + 5)


def test_totals_are_told_while_a_connection_stays_open(echo: tuple[str, int]) -> None:
    told: list[tuple[int, int]] = []
    heard = threading.Event()

    def tell(up: int, down: int) -> None:
        told.append((up, down))
        heard.set()

    relay = Relay(echo, tell, told_every=0.05)
    with socket.create_connection(("127.0.0.1", relay.start())) as connection:
        connection.sendall(b"12345")
        assert heard.wait(PATIENCE)
        assert told == [(5, 0)]
        relay.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_relay_that_cant_count_carries_no_more(echo: tuple[str, int]) -> None:
    def fails(_up: int, _down: int) -> None:
        raise OSError("disk full")

    relay = Relay(echo, fails, told_every=0.05)
    with socket.create_connection(("127.0.0.1", relay.start()), timeout=PATIENCE) as connection:
        connection.sendall(b"12345")
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    relay.stop()


def test_a_hub_that_doesnt_answer_is_a_closed_connection() -> None:
    (nobody,) = free_ports(1)
    relay = Relay(("127.0.0.1", nobody), lambda _up, _down: None)
    assert _through(relay.start(), b"") == b""
    relay.stop()
