"""Many senders, senders that stand still, and an end that comes at once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from tests import wire_lab as lab
from tests.wire_lab import ABORT, AC, RJ, Caller, Shelf, p_data, value

from wardround.dicom.network import Accepted, Limits, RefusedStorage, StorageReceiver, StoreHeader


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def receiver(shelf: Shelf) -> Iterator[StorageReceiver]:
    with StorageReceiver(["RESEARCH"], landing=shelf) as running:
        yield running


def test_sixty_four_at_once_are_served_and_the_rest_refused_in_order(receiver: StorageReceiver, shelf: Shelf) -> None:
    callers = [Caller(receiver.port) for _ in range(64)]
    for caller in callers:
        caller.associate()
    # All are half-way through an object at the same time.
    for number, caller in enumerate(callers):
        caller.send(p_data(value(1, 3, lab.store_rq(f"1.2.{number}"))) + p_data(value(1, 0, bytes([number]) * 9000)))
    for _ in range(3):
        with Caller(receiver.port) as late:
            late.send(lab.associate_rq())
            assert late.read() == (RJ, bytes((0, 2, 3, 2)))
    for number, caller in enumerate(callers):
        caller.send(p_data(value(1, 2, bytes([number]) * 1000)))
    assert {caller.status() for caller in callers} == {0}
    assert shelf.stored == {f"1.2.{number}": bytes([number]) * 10000 for number in range(64)}
    for caller in callers:
        caller.send(lab.RELEASE)
        assert caller.read() == (lab.RELEASE_RP, bytes(4))
    with Caller(receiver.port) as again:
        again.associate()
    for caller in callers:
        caller.connection.close()


def test_connections_that_ask_for_nothing_keep_nobody_out(receiver: StorageReceiver) -> None:
    silent = [Caller(receiver.port) for _ in range(60)]
    callers = [Caller(receiver.port) for _ in range(64)]
    for caller in callers:
        caller.associate()
    for caller in (*silent, *callers):
        caller.connection.close()


def test_callers_beyond_all_room_wait_and_are_served_when_there_is_some(shelf: Shelf) -> None:
    with StorageReceiver(["RESEARCH"], landing=shelf, associations=1) as receiver:
        silent = [Caller(receiver.port) for _ in range(70)]
        waiting = Caller(receiver.port)
        waiting.send(lab.associate_rq())
        for caller in silent:
            caller.connection.close()
        answer = waiting.read()
        assert answer is not None and answer[0] == AC
        waiting.connection.close()


@pytest.mark.parametrize(
    "half",
    [
        p_data(value(1, 3, lab.store_rq())),
        p_data(value(1, 3, lab.store_rq())) + p_data(value(1, 0, b"half")),
        p_data(value(1, 3, lab.store_rq())) + p_data(value(1, 0, b"half"))[:-1],
        p_data(value(1, 3, lab.store_rq())) + p_data(value(1, 0, b"half")) + b"\4",
        p_data(value(1, 3, lab.store_rq())) + lab.pdu(lab.DATA, bytes(9))[:8],
    ],
)
def test_a_sender_that_stands_still_midway_is_aborted_and_nothing_half_stays(shelf: Shelf, half: bytes) -> None:
    limits = Limits(stall_seconds=0.3)
    with StorageReceiver(["RESEARCH"], landing=shelf, limits=limits) as receiver, Caller(receiver.port) as caller:
        caller.associate()
        caller.send(half)
        assert caller.read() == (ABORT, bytes(4))
        assert (shelf.stored, shelf.abandoned) == ({}, ["1.2.999.5.1"])
        with Caller(receiver.port) as other:
            other.associate()
            other.send(lab.echo())
            assert other.status() == 0
    assert receiver.counts()["stalled"] == 1


@pytest.mark.parametrize("size", [6, 8, 12, 40])
def test_a_sender_that_stands_still_within_its_first_pdu_is_aborted_too(shelf: Shelf, size: int) -> None:
    limits = Limits(stall_seconds=0.3)
    with StorageReceiver(["RESEARCH"], landing=shelf, limits=limits) as receiver, Caller(receiver.port) as caller:
        caller.associate()
        caller.send(lab.echo()[:size])
        assert caller.read() == (ABORT, bytes(4))


def test_a_trickle_does_not_hold_a_pdu_open(shelf: Shelf) -> None:
    limits = Limits(stall_seconds=0.3)
    with StorageReceiver(["RESEARCH"], landing=shelf, limits=limits) as receiver, Caller(receiver.port) as caller:
        caller.associate()
        caller.send(p_data(value(1, 3, lab.store_rq())) + p_data(value(1, 0, bytes(9000)))[:100])
        caller.connection.settimeout(0.02)
        while True:
            try:
                answer = caller.read()
                break
            except TimeoutError:
                caller.send(b"\0")
        assert answer == (ABORT, bytes(4))
    assert shelf.abandoned == ["1.2.999.5.1"]


@pytest.mark.parametrize("reset", [False, True])
def test_a_sender_that_goes_away_midway_leaves_nothing_half(shelf: Shelf, reset: bool) -> None:
    receiver = StorageReceiver(["RESEARCH"], landing=shelf)
    with receiver, Caller(receiver.port) as caller:
        caller.associate()
        caller.send(p_data(value(1, 3, lab.store_rq())) + p_data(value(1, 0, b"half")))
        if reset:
            caller.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.connection.close()
    # Stopping waits for the association's thread.
    assert (shelf.stored, shelf.abandoned, shelf.open_objects) == ({}, shelf.abandoned, 0)
    assert len(shelf.abandoned) == len(shelf.headers)


class Gate:
    """A landing whose `commit` waits to be let through."""

    def __init__(self) -> None:
        self.opened = threading.Semaphore(0)
        self.reached = threading.Event()
        self.go = threading.Event()
        self.ended: list[str] = []

    def open(self, header: StoreHeader) -> Gate:
        self.opened.release()
        return self

    def write(self, piece: memoryview | bytes) -> None:
        return None

    def commit(self) -> Accepted:
        self.reached.set()
        assert self.go.wait(20)
        self.ended.append("committed")
        return Accepted()

    def abandon(self) -> None:
        self.ended.append("abandoned")


def test_stopping_aborts_who_waits_and_answers_what_is_being_committed() -> None:
    gate = Gate()
    receiver = StorageReceiver(["RESEARCH"], landing=gate)
    receiver.start()
    with Caller(receiver.port) as idle, Caller(receiver.port) as half, Caller(receiver.port) as storing:
        for caller in (idle, half, storing):
            caller.associate()
        half.send(p_data(value(1, 3, lab.store_rq())) + p_data(value(1, 0, b"half")))
        assert gate.opened.acquire(timeout=20)
        storing.send(lab.store())
        assert gate.reached.wait(20)
        stopping = threading.Thread(target=receiver.stop)
        stopping.start()
        assert idle.rest() == [(ABORT, bytes(4))]
        assert half.rest() == [(ABORT, bytes(4))]
        gate.go.set()
        assert storing.status() == 0
        assert storing.rest() == [(ABORT, bytes(4))]
        stopping.join(20)
        assert not stopping.is_alive()
    assert sorted(gate.ended) == ["abandoned", "committed"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", receiver.port or 1), timeout=5)


def test_stopping_ends_a_sender_that_streams_without_pause() -> None:
    class Endless(Gate):
        def write(self, piece: memoryview | bytes) -> None:
            self.reached.set()

    landing = Endless()
    receiver = StorageReceiver(["RESEARCH"], landing=landing)
    receiver.start()
    with Caller(receiver.port) as caller:
        caller.associate()
        caller.send(p_data(value(1, 3, lab.store_rq())))
        block = p_data(value(1, 0, bytes(16000))) * 8

        def flow() -> None:
            with pytest.raises(OSError, match=r"(?i)pipe|reset"):
                while True:
                    caller.send(block)

        sender = threading.Thread(target=flow)
        sender.start()
        assert landing.reached.wait(20)
        receiver.stop()
        sender.join(20)
        assert not sender.is_alive()
    assert landing.ended == ["abandoned"]


class Broken:
    """A landing that fails as it is told, at one of its steps."""

    def __init__(self, step: str, error: BaseException) -> None:
        self.step, self.error = step, error
        self.ended: list[str] = []

    def _fail(self, step: str) -> None:
        if step == self.step:
            raise self.error

    def open(self, header: StoreHeader) -> Broken | RefusedStorage:
        self._fail("open")
        return self

    def write(self, piece: memoryview | bytes) -> None:
        self._fail("write")

    def commit(self) -> Accepted:
        self._fail("commit")
        self.ended.append("committed")
        return Accepted()

    def abandon(self) -> None:
        self.ended.append("abandoned")
        self._fail("abandon")


@pytest.mark.parametrize(("step", "ended"), [("open", []), ("write", ["abandoned"]), ("commit", [])])
def test_a_disk_that_fails_is_told_as_out_of_resources_and_the_next_object_is_taken(
    step: str, ended: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    landing = Broken(step, OSError(28, "No space left on device", "/data/Penhallow"))
    with StorageReceiver(["RESEARCH"], landing=landing) as receiver, Caller(receiver.port) as caller:
        caller.associate()
        caller.send(lab.store(bytes(50_000)))
        assert caller.status() == 0xA700
        assert landing.ended == ended
        landing.step = ""
        caller.send(lab.store())
        assert caller.status() == 0
        caller.send(p_data(value(1, 3, lab.store_rq())) + lab.ABORTED)
        assert caller.rest() == []
    assert [*ended, "committed", "abandoned"] == landing.ended
    assert "Penhallow" not in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("step", ["open", "write", "commit"])
def test_a_landing_with_a_fault_takes_down_its_own_association_alone(step: str) -> None:
    landing = Broken(step, RuntimeError("a fault"))
    with StorageReceiver(["RESEARCH"], landing=landing, associations=1) as receiver:
        with Caller(receiver.port) as caller:
            caller.associate()
            caller.send(lab.store())
            assert caller.rest() == []
        landing.step = ""
        with Caller(receiver.port) as caller:
            caller.associate()
            caller.send(lab.store())
            assert caller.status() == 0
    assert landing.ended == [*(["abandoned"] if step == "write" else []), "committed"]


def test_garbage_on_many_connections_harms_nobody(receiver: StorageReceiver, shelf: Shelf) -> None:
    garbage = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", bytes(100), b"\xff" * 100, lab.RELEASE, b""]
    with Caller(receiver.port) as good:
        good.associate()
        good.send(p_data(value(1, 3, lab.store_rq())))
        for number in range(120):
            with Caller(receiver.port) as bad:
                bad.send(garbage[number % len(garbage)])
        good.send(p_data(value(1, 2, b"data")))
        assert good.status() == 0
    assert shelf.stored == {"1.2.999.5.1": b"data"}
