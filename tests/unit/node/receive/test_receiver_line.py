"""Calls between the node and a receiver: in both directions, with their errors, and an end that is noticed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from wardround.node.receive.index import IndexUnavailable
from wardround.node.receive.line import Line, LineEnded

PATIENCE = 30.0
Ends = tuple[dict[str, Callable[..., object]], Line, dict[str, Callable[..., object]], Line, threading.Event]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """What the node answers and its end, what the receiver answers and its end, and whether that saw the line end."""
    ours, theirs = socket.socketpair()
    ended = threading.Event()
    node_answers: dict[str, Callable[..., object]] = {}
    receiver_answers: dict[str, Callable[..., object]] = {}
    node, receiver = Line(ours, node_answers), Line(theirs, receiver_answers, ended=ended.set)
    node.start()
    receiver.start()
    yield node_answers, node, receiver_answers, receiver, ended
    node.close()
    receiver.close()


def test_an_answer_may_ask_back_before_it_is_given(ends: Ends) -> None:
    node_answers, node, receiver_answers, receiver, _ = ends
    node_answers["write"] = lambda number: number + 1
    receiver_answers["settle"] = lambda: receiver.call("write", 1, timeout=PATIENCE)
    assert node.call("settle", timeout=PATIENCE) == 2


def test_errors_go_back_to_the_caller_and_others_say_nothing_of_themselves(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    node_answers, _, _, receiver, _ = ends
    logged: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda ended: logged.append(ended.exc_type))

    def away(error: Exception) -> None:
        raise error

    node_answers["index"] = lambda: away(IndexUnavailable("OperationalError"))
    node_answers["disk"] = lambda: away(FileNotFoundError(2, "gone"))
    node_answers["wrong"] = lambda: away(ValueError("DOE^JANE"))
    with pytest.raises(IndexUnavailable, match="OperationalError"):
        receiver.call("index", timeout=PATIENCE)
    with pytest.raises(FileNotFoundError):
        receiver.call("disk", timeout=PATIENCE)
    with pytest.raises(OSError, match="the other process failed") as raised:
        receiver.call("wrong", timeout=PATIENCE)
    assert "DOE" not in repr(raised.value)


def test_the_end_of_one_side_ends_what_the_other_waits_for(ends: Ends) -> None:
    node_answers, node, _, receiver, ended = ends
    asked, go_on, finished = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        asked.set()
        go_on.wait(PATIENCE)
        finished.set()

    node_answers["slow"] = slow
    waiting: list[BaseException] = []

    def ask() -> None:
        with pytest.raises(LineEnded) as raised:
            receiver.call("slow", timeout=PATIENCE)
        waiting.append(raised.value)

    asking = threading.Thread(target=ask)
    asking.start()
    assert asked.wait(PATIENCE)
    closing = threading.Thread(target=node.close)
    closing.start()
    assert ended.wait(PATIENCE)
    asking.join(PATIENCE)
    assert len(waiting) == 1
    assert closing.is_alive(), "it waits for what the other side asked for"
    go_on.set()
    closing.join(PATIENCE)
    assert finished.is_set()
    with pytest.raises(LineEnded):
        receiver.call("slow", timeout=PATIENCE)
    receiver.tell("slow")


def test_nobody_waits_for_long_for_one_who_has_stopped_reading() -> None:
    ours, theirs = socket.socketpair()
    ended = threading.Event()
    line = Line(ours, {}, ended=ended.set, patience=1)
    line.start()
    with theirs:
        for _ in range(100):
            line.tell("learn", bytes(1 << 18))
        assert ended.wait(PATIENCE)
        with pytest.raises(LineEnded):
            line.call("settle", timeout=PATIENCE)
    line.close()
