"""Rounds over a messaging that loses answers, without FLARE's processes around it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zstandard
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.endpoint import Endpoint, EndpointMonitor
from nvflare.fuel.f3.message import Message

from wardround.federation.engine import (
    LegStart,
    LegState,
    LegStatus,
    Next,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
    UpdateRefused,
)
from wardround.federation.flare.desk import HubDesk
from wardround.federation.flare.line import HubLost, SiteLine
from wardround.federation.flare.transport import decode, encode
from wardround.federation.leg import Leg
from wardround.federation.messages import MessageInvalid
from wardround.federation.spool import Spool
from wardround.foundation.stored import PIECE, content
from wardround.learning.arrays import to_bytes

JOB = "job-1"
MODEL = {"w": np.arange(3 * PIECE // 4 + 17, dtype=np.float32)}


class Hub:
    def __init__(self) -> None:
        self.results: list[RoundResult] = []
        self.aggregates: list[bytes] = []

    def begin(self, leg_id: str) -> LegStart:
        raise NotImplementedError

    def admit(self, header: UpdateHeader) -> None:
        """Admit everything."""

    def commit(self, result: RoundResult) -> Next:
        self.results.append(result)
        self.aggregates.append(content(result.arrays))
        return Next(True)


class Cell:
    """A site's way to the hub. ``lose(n)`` says whether the answer to the n-th request is lost on the way."""

    def __init__(self, origin: str, lose: Callable[[int], bool] = lambda n: False) -> None:
        self.origin, self.lose, self.sent = origin, lose, 0
        self.answer: Callable[[Message], Message]
        self.waiters: dict[str, threading.Event] = {}
        self.monitors: list[EndpointMonitor] = []
        self.communicator = SimpleNamespace(register_monitor=self.monitors.append)

    def register_request_cb(self, channel: str, topic: str, cb: Callable[[Message], Message]) -> None:
        self.answer = cb

    def send_request(self, channel: str, topic: str, target: str, request: Message, timeout: float) -> Message:
        self.sent += 1
        request.set_header(MessageHeaderKey.ORIGIN, self.origin)
        reply = self.answer(request)
        if self.lose(self.sent):
            reply = Message()
            reply.set_header(MessageHeaderKey.RETURN_CODE, ReturnCode.TIMEOUT)
        return reply


class Table:
    """A leg with its desk, and cells to reach it."""

    def __init__(self, sites: tuple[str, ...], rounds: int = 1, spool: Spool | None = None) -> None:
        self.hub = Hub()
        start = LegStart("run", "leg", 1, rounds, sites, 1, 60.0, {"k": 1}, to_bytes(MODEL))
        self.leg = Leg(start, self.hub, sites, spool=spool)
        self._registry = Cell("hub")
        self.desk = HubDesk(self._registry, self.leg, JOB)
        self.status: LegStatus | None = None
        self.driver = threading.Thread(target=self._run, daemon=True)
        self.driver.start()

    def _run(self) -> None:
        self.status = self.leg.run()

    def line(self, site: str, **settings: Any) -> SiteLine:
        cell = Cell(f"{site}.{JOB}", **settings)
        cell.answer = self._registry.answer
        return SiteLine(cell, JOB, lambda: False, Spool())


@pytest.fixture
def table() -> Iterator[Callable[..., Table]]:
    tables: list[Table] = []

    def build(*args: Any, **settings: Any) -> Table:
        tables.append(Table(*args, **settings))
        return tables[-1]

    yield build
    for each in tables:
        each.leg.stop(LegState.ABORTED, "test over")


def pulled(line: SiteLine, done: int = 0) -> RoundTask:
    task = line.pull(done)
    assert isinstance(task, RoundTask)
    return task


def doubled(task: RoundTask) -> RoundUpdate:
    return RoundUpdate(1.0, {}, 1, None, to_bytes({"w": MODEL["w"] * 2}))


def test_a_model_of_several_pieces_arrives_whole_both_ways(table: Callable[..., Table]) -> None:
    laid = table(("alpha",))
    line = laid.line("alpha")

    task = pulled(line)
    line.push(1, doubled(task))

    laid.driver.join(30)
    assert content(task.arrays) == to_bytes(MODEL)
    assert len(task.arrays) > 3 * PIECE
    assert laid.hub.aggregates == [to_bytes({"w": MODEL["w"] * 2})]


def test_what_goes_down_is_packed_and_counted_as_it_travels(table: Callable[..., Table], tmp_path: Path) -> None:
    laid = table(("alpha",), spool=Spool(tmp_path))
    line = laid.line("alpha")

    line.push(1, doubled(pulled(line)))

    laid.driver.join(30)
    (part,) = laid.hub.results[0].sites
    assert 0 < part.bytes_down < 0.8 * len(to_bytes(MODEL))
    assert list(tmp_path.iterdir()) == []


def test_a_piece_that_isnt_one_ends_the_sites_part_before_it_takes_memory(table: Callable[..., Table]) -> None:
    laid = table(("alpha",))
    line = laid.line("alpha")
    bomb = zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024))
    answer = laid._registry.answer

    def send(message: Message) -> Message:
        reply = answer(message)
        head, _ = decode(reply.payload)
        reply.payload = encode(head, bomb)
        return reply

    line._requests._cell.answer = send
    with pytest.raises(MessageInvalid):
        line.pull(0)


def test_lost_answers_are_asked_for_again_and_nothing_counts_twice(table: Callable[..., Table]) -> None:
    laid = table(("alpha",))
    line = laid.line("alpha", lose=lambda n: n % 2 == 1)

    line.push(1, doubled(pulled(line)))

    laid.driver.join(30)
    (result,) = laid.hub.results
    assert (len(result.sites), result.refused) == (1, ())
    assert laid.hub.aggregates == [to_bytes({"w": MODEL["w"] * 2})]


class Lossy:
    """Alpha's cell, which loses the first request, or its answer: the cell waits for one in vain, as long as it may or
    until it is woken."""

    def __init__(self, laid: Table, *, answered: bool = False) -> None:
        self.cell, self.lost = Cell(f"alpha.{JOB}"), threading.Event()
        self.woken: list[bool] = []
        self.cell.answer = laid._registry.answer
        self._whole, self._answered = self.cell.send_request, answered
        self.cell.send_request = self._send  # type: ignore[method-assign]

    def _send(self, channel: str, topic: str, target: str, request: Message, timeout: float) -> Message:
        if decode(request.payload)[0]["kind"] == "alive" or self.lost.is_set():
            return self._whole(channel, topic, target, request, timeout)
        if self._answered:
            self._whole(channel, topic, target, request, timeout)
        request.set_header(MessageHeaderKey.REQ_ID, "lost")
        waiter = self.cell.waiters["lost"] = threading.Event()
        self.lost.set()
        self.woken.append(waiter.wait(timeout))
        reply = Message()
        reply.set_header(MessageHeaderKey.RETURN_CODE, ReturnCode.TIMEOUT)
        return reply


def test_what_was_sent_into_a_cut_connection_is_asked_again_once_that_is_noticed(table: Callable[..., Table]) -> None:
    lossy = Lossy(table(("alpha",)))

    def notice() -> None:
        lossy.lost.wait(30)
        for monitor in lossy.cell.monitors:
            monitor.state_change(Endpoint("server"))

    threading.Thread(target=notice, daemon=True).start()
    assert pulled(SiteLine(lossy.cell, JOB, lambda: False, Spool())).turn == 1
    assert lossy.woken == [True], "it didn't wait for its time to be over"


@pytest.mark.parametrize("swallowed", ["request", "answer"])
def test_what_is_lost_while_all_connections_hold_is_asked_again_once_the_hub_says_that_it_serves_nothing(
    table: Callable[..., Table], swallowed: str
) -> None:
    lossy = Lossy(table(("alpha",)), answered=swallowed == "answer")
    line = SiteLine(lossy.cell, JOB, lambda: False, Spool())

    def live() -> None:
        lossy.lost.wait(30)
        for _ in range(2):
            assert lossy.woken == []
            line.alive()

    threading.Thread(target=live, daemon=True).start()
    assert pulled(line).turn == 1
    assert lossy.woken == [True], "it didn't wait for its time to be over"


def test_an_answer_that_takes_its_time_is_waited_for(table: Callable[..., Table]) -> None:
    laid = table(("alpha", "beta"))
    line = laid.line("alpha")
    line.push(1, doubled(pulled(line)))
    line._requests.end_waiting = pytest.fail  # type: ignore[method-assign,assignment]
    asking = threading.Thread(target=line.pull, args=(1,), daemon=True)
    asking.start()
    while laid.desk._serving["alpha"] == 0:
        threading.Event().wait(0.005)
    for _ in range(3):
        assert line.alive() is None, "the second round waits for beta"
    laid.leg.stop(LegState.ABORTED, "test over")
    asking.join(30)
    assert not asking.is_alive()


def test_a_hub_that_never_answers_is_given_up(table: Callable[..., Table]) -> None:
    laid = table(("alpha",))
    cell = Cell(f"alpha.{JOB}", lose=lambda n: True)
    cell.answer = laid._registry.answer

    with pytest.raises(HubLost):
        SiteLine(cell, JOB, lambda: cell.sent >= 3, Spool()).pull(0)


def test_a_process_of_another_job_or_the_site_itself_is_a_stranger(table: Callable[..., Table]) -> None:
    laid = table(("alpha",))
    for origin in ("alpha", "alpha.job-2", "mallory.job-1", f"relay.alpha.{JOB}"):
        cell = Cell(origin)
        cell.answer = laid._registry.answer
        with pytest.raises(UpdateRefused, match="unknown-site"):
            SiteLine(cell, JOB, lambda: True, Spool()).alive()


def test_more_bytes_than_the_model_has_are_refused_before_they_are_all_here(table: Callable[..., Table]) -> None:
    laid = table(("alpha", "beta"), rounds=1)
    line = laid.line("alpha")
    pulled(line)

    with pytest.raises(UpdateRefused, match="too-large"):
        line.push(1, RoundUpdate(1.0, {}, 1, None, b"\0" * (len(to_bytes(MODEL)) * 4)))

    other = laid.line("beta")
    other.push(1, doubled(pulled(other)))
    laid.driver.join(30)
    (result,) = laid.hub.results
    assert dict(result.missing) == {"alpha": "refused: too-large"}
    assert [(refusal.site, refusal.reason) for refusal in result.refused] == [("alpha", "too-large")]


@pytest.mark.parametrize(
    "payload", [b"", b"\0\0\0\1", b"\xff\xff\xff\xff{}", encode({})[:-1], b"\0\0\0\2[]", None, {"kind": "pull"}]
)
def test_what_is_no_message_is_refused_and_harms_nothing(table: Callable[..., Table], payload: Any) -> None:
    laid = table(("alpha",))
    request = Message(payload=payload)
    request.set_header(MessageHeaderKey.ORIGIN, f"alpha.{JOB}")

    head, _ = decode(laid._registry.answer(request).payload)

    assert head == {"refused": "unreadable"}
    assert pulled(laid.line("alpha")).round == 1


@pytest.mark.parametrize(
    "head",
    [
        {"kind": "push", "round": 1, "index": 1, "size": 2},
        {"kind": "push", "round": 1, "index": -1, "size": 2},
        {"kind": "push", "round": 1, "index": "0", "size": 2},
        {"kind": "push", "round": "1", "index": 0, "size": 2},
        {"kind": "push", "round": 1, "index": 0, "size": -2},
        {"kind": "push", "round": 1, "index": 0, "size": 3},
        {"kind": "push", "round": 1, "index": 0},
        {"kind": "piece", "round": 1, "index": -1},
        {"kind": "push", "round": 1, "index": 0, "size": 2, "update": {"weight": "much"}},
    ],
)
def test_requests_that_make_no_sense_are_refused(table: Callable[..., Table], head: dict[str, Any]) -> None:
    laid = table(("alpha",))
    pulled(laid.line("alpha"))
    request = Message(payload=encode(head, b"xx"))
    request.set_header(MessageHeaderKey.ORIGIN, f"alpha.{JOB}")

    answer, _ = decode(laid._registry.answer(request).payload)

    assert "refused" in answer
    assert laid.hub.results == []


WHOLE = to_bytes({"w": MODEL["w"] * 2})
TOLD = {"weight": 1.0, "metrics": {}, "steps": 1, "ledger_index": None}


def send(laid: Table, index: int, body: bytes, *, size: int = len(WHOLE), last: bool = False) -> dict[str, Any]:
    head: dict[str, Any] = {"kind": "push", "round": 1, "index": index, "size": size}
    request = Message(payload=encode({**head, "update": TOLD} if last else head, body))
    request.set_header(MessageHeaderKey.ORIGIN, f"alpha.{JOB}")
    return decode(laid._registry.answer(request).payload)[0]


def piece(index: int) -> bytes:
    return WHOLE[index * PIECE : (index + 1) * PIECE]


def without_alpha(laid: Table) -> RoundResult:
    """The round as it is when beta delivers too."""
    other = laid.line("beta")
    other.push(1, doubled(pulled(other)))
    laid.driver.join(30)
    (result,) = laid.hub.results
    assert [site.site for site in result.sites] == ["beta"]
    assert laid.hub.aggregates == [WHOLE], "nothing of what alpha sent is in the mean"
    return result


def test_pieces_that_come_again_late_or_twice_are_taken_once(table: Callable[..., Table]) -> None:
    laid = table(("alpha",))
    pulled(laid.line("alpha"))
    for index, again in ((0, 0), (1, 0), (2, 1)):
        assert send(laid, index, piece(index)) == {}
        assert send(laid, again, piece(again)) == {}

    assert send(laid, 3, piece(3), last=True) == {"counted": True}
    assert send(laid, 3, piece(3), last=True) == {"counted": True}

    laid.driver.join(30)
    assert (len(laid.hub.results[0].sites), laid.hub.aggregates) == (1, [WHOLE])


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([(0, piece(0)), (2, piece(2))], "unreadable"),
        ([(1, piece(1))], "unreadable"),
        ([(0, piece(0)[:-1])], "unreadable"),
        ([(0, piece(0)), (1, piece(1) + b"x")], "unreadable"),
        ([(0, piece(0)), (1, piece(1)), (2, piece(2)), (3, piece(3) + bytes(PIECE))], "unreadable"),
    ],
    ids=["one-missing", "first-missing", "too-short", "too-long", "more-than-told"],
)
def test_pieces_that_cannot_be_end_the_sites_part_in_the_round(
    table: Callable[..., Table], sent: list[tuple[int, bytes]], reason: str
) -> None:
    laid = table(("alpha", "beta"))
    pulled(laid.line("alpha"))
    answers = [send(laid, index, body) for index, body in sent]

    assert answers[-1] == {"refused": reason}
    assert send(laid, 4, b"x") == {"refused": "unreadable"}, "a piece after the last"
    result = without_alpha(laid)
    assert [(refusal.site, refusal.reason) for refusal in result.refused if refusal.reason != reason] == []


def test_a_site_that_says_another_length_midway_is_refused(table: Callable[..., Table]) -> None:
    laid = table(("alpha", "beta"))
    pulled(laid.line("alpha"))
    assert send(laid, 0, piece(0)) == {}

    assert send(laid, 1, piece(1), size=len(WHOLE) + 1) == {"refused": "unreadable"}
    without_alpha(laid)


def test_what_would_be_too_large_is_refused_at_its_first_piece(table: Callable[..., Table]) -> None:
    laid = table(("alpha", "beta"))
    pulled(laid.line("alpha"))

    assert send(laid, 0, bytes(PIECE), size=10 * len(WHOLE)) == {"refused": "too-large"}
    without_alpha(laid)


def test_a_site_that_dies_between_pieces_leaves_nothing_and_may_begin_anew(table: Callable[..., Table]) -> None:
    laid = table(("alpha", "beta"))
    pulled(laid.line("alpha"))
    assert send(laid, 0, piece(0)) == {}
    laid.leg.lose("alpha", "process-ended")

    line = laid.line("alpha")
    line.push(1, doubled(pulled(line)))

    other = laid.line("beta")
    other.push(1, doubled(pulled(other)))
    laid.driver.join(30)
    assert [site.site for site in laid.hub.results[0].sites] == ["alpha", "beta"]
    assert laid.hub.aggregates == [WHOLE]


def test_nothing_is_left_on_the_disk_when_a_leg_is_over(tmp_path: Path) -> None:
    laid = Table(("alpha",), spool=Spool(tmp_path, "leg"))
    line = laid.line("alpha")
    line.push(1, doubled(pulled(line)))
    laid.driver.join(30)
    assert laid.hub.aggregates == [WHOLE]
    assert list(tmp_path.iterdir()) == []
