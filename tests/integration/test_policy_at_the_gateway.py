"""What the policy holds back doesn't leave, over real connections: it is on the log, and says why."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.federation_lab import PATIENCE, HubLab, eventually

from wardround.contracts.disclosure import Count
from wardround.contracts.outbound import (
    CohortAnswer,
    EngineTraffic,
    EvaluationResult,
    ObjectRequest,
    RunUpdate,
    TaskBatch,
    TaskPoll,
    TaskReport,
)
from wardround.contracts.task import EndRun
from wardround.node.gateway.egress import EgressLog, bytes_out, newest, totals
from wardround.node.gateway.errors import HubRefused, MayLeaveLater, MayNotLeave
from wardround.node.gateway.gateway import Gateway
from wardround.node.gateway.relay import Relay, engine_relay
from wardround.node.gateway.tables import Egress
from wardround.node.home import NodeHome
from wardround.node.link import outbox
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.link import Link
from wardround.node.link.tables import OutboxMessage
from wardround.node.membership.actions import renew
from wardround.node.policy.kinds import ESSENTIAL, LIMITABLE
from wardround.node.policy.leaving import LeavingForbidden
from wardround.node.policy.rates import Rates
from wardround.node.policy.rules import LeavingRules

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLL = TaskPoll(after=0, wait_seconds=0, version="test")
ASK = ObjectRequest(digest="a" * 64)
UPDATE = RunUpdate(project="p1", run="r1", round=1, digest="a" * 64, entry=0, weight=1, metrics={"dice": 0.5})
ANSWER = CohortAnswer(question="b" * 64, people=Count(about=None))
JUDGED = EvaluationResult(
    project="p1",
    run="r1",
    model="c" * 64,
    label="federated",
    metric="dice",
    score=0.5,
    patients=Count(about=None),
    entry=0,
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    made = HubLab(tmp_path_factory.mktemp("policy-gateway"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def home(lab: HubLab, request: pytest.FixtureRequest) -> Iterator[NodeHome]:
    made = lab.node(f"site-{abs(hash(request.node.name)) % 10**8}")
    yield made
    made.close()


def allow(home: NodeHome, text: str) -> None:
    home.policy_file.write_text(text)


def rows(home: NodeHome) -> list[tuple[str, str, str | None]]:
    """Kind, outcome and reason of all that left or tried to, since joining; oldest first."""
    with home.database.reading() as session:
        return [(line.kind, line.outcome, line.reason) for line in reversed(newest(session, 10_000))][1:]


def test_every_kind_is_either_essential_or_may_be_limited_and_joining_allows_them_all(home: NodeHome) -> None:
    assert not ESSENTIAL & set(LIMITABLE)
    assert set(home.policy.current().leaving.kinds) == set(LIMITABLE)


def test_a_kind_that_the_policy_doesnt_name_never_reaches_the_hub(home: NodeHome) -> None:
    allow(home, 'leaving.kinds = ["run-update", "engine-traffic"]')
    with closing(Gateway(home)) as gateway:
        for message in (ASK, ANSWER, JUDGED):
            with pytest.raises(MayNotLeave, match=f"leaving.kinds: {message.kind} may not leave") as refused:
                gateway.send(message)
            assert "add it there: wardround node policy set" in str(refused.value)
            assert refused.value.code == "message-not-allowed"
            assert not isinstance(refused.value, MayLeaveLater)
    assert rows(home) == [(m.kind, "refused", "message-not-allowed") for m in (ASK, ANSWER, JUDGED)]
    with home.database.reading() as session:
        told = {line.kind: line for line in totals(session)}
        assert {kind: (told[kind].size, told[kind].not_sent) for kind in ("object-request", "cohort-answer")} == {
            "object-request": (0, 1),
            "cohort-answer": (0, 1),
        }


def test_what_a_hub_refused_counts_as_gone_whatever_code_it_names(home: NodeHome) -> None:
    """A hub that words its refusal as the policy would gains nothing: the bytes went to it, and are counted."""
    with closing(Gateway(home)) as gateway, pytest.raises(HubRefused):
        gateway.send(ASK)
    with home.database.writing() as session:
        row = session.scalars(select(Egress).where(Egress.kind == "object-request")).one()
        row.reason = "message-not-allowed"
    with home.database.reading() as session:
        assert {line.kind: line.not_sent for line in totals(session)}["object-request"] == 0
        assert bytes_out(session) > 64


def test_a_node_that_lets_nothing_leave_is_still_a_member(home: NodeHome, lab: HubLab) -> None:
    allow(home, "leaving.kinds = []\nleaving.messages_per_hour = 0\nleaving.bytes_per_day = 0")
    task = lab.ask(home.site, EndRun(project="p1", run="r1"))
    with closing(Gateway(home)) as gateway:
        reply, _ = gateway.send(POLL)
        assert isinstance(reply, TaskBatch)
        gateway.send(TaskReport(number=task, outcome="refused", reason="message-not-allowed"))
        before = home.certificate.read_bytes()
        renew(home, gateway)
    assert home.certificate.read_bytes() != before


def test_a_larger_message_than_the_policy_allows_is_held_back(home: NodeHome) -> None:
    allow(home, "leaving.kind.run-update.largest_bytes = 1000")
    gateway = Gateway(home)
    gateway.record(UPDATE, 1000)
    with pytest.raises(MayNotLeave, match=r"it has 1,001 bytes; at most 1,000 may leave") as refused:
        gateway.record(UPDATE, 1001)
    assert refused.value.code == "message-too-large"
    assert rows(home) == [("run-update", "carried", None), ("run-update", "refused", "message-too-large")]


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ("leaving.kind.run-update.messages_per_hour = 3", 3),
        ("leaving.messages_per_day = 2", 2),
        ("leaving.kind.run-update.bytes_per_hour = 2999", 2),
        ("leaving.kind.run-update.bytes_per_day = 1000", 1),
    ],
)
def test_a_rate_holds_for_every_process_and_is_open_again_later(home: NodeHome, rule: str, fits: int) -> None:
    allow(home, rule)
    clock = [NOON]
    for number in range(fits):
        # Another process of the node each time: what counts is the log.
        Gateway(NodeHome(home.path), clock=lambda: clock[0]).record(UPDATE, 1000)
        clock[0] += timedelta(seconds=number)
    gateway = Gateway(home, clock=lambda: clock[0])
    for _ in range(2):
        with pytest.raises(MayLeaveLater, match=f"policy.toml, {rule.split(' ')[0]}") as refused:
            gateway.record(UPDATE, 1000)
        assert refused.value.code == "over-rate"
    clock[0] += timedelta(minutes=59)
    with pytest.raises(MayLeaveLater):
        gateway.record(UPDATE, 1000)
    clock[0] += timedelta(minutes=2) if "hour" in rule else timedelta(hours=24)
    gateway.record(UPDATE, 1000)
    assert [outcome for _, outcome, _ in rows(home)] == ["carried"] * fits + ["refused"] * 3 + ["carried"]


def test_rates_count_the_last_day_alone_however_long_the_log(home: NodeHome) -> None:
    allow(home, "leaving.kind.evaluation-result.messages_per_day = 5")
    with home.database.writing() as session:
        for number in range(2500):
            at = NOON - timedelta(days=30) + timedelta(minutes=number)
            kind = "evaluation-result" if number % 2 else "task-poll"
            session.add(Egress(at=at, kind=kind, size=100, outcome="sent", digest="d" * 64))
        for minutes in (70, 50, 30):
            at = NOON - timedelta(minutes=minutes)
            session.add(Egress(at=at, kind="evaluation-result", size=100, outcome="sent", digest="d" * 64))
    gateway = Gateway(home, clock=lambda: NOON)
    gateway.record(JUDGED, 0)
    gateway.record(JUDGED, 0)
    with pytest.raises(MayLeaveLater, match="5 left already"):
        gateway.record(JUDGED, 0)


def test_tries_that_met_no_hub_dont_use_the_rate_up(tmp_path: Path) -> None:
    lab = HubLab(tmp_path)
    lab.start()
    home = lab.node("patient")
    allow(home, "leaving.messages_per_hour = 1")
    lab.stop()
    with closing(Gateway(home)) as gateway:
        for _ in range(3):
            with suppress(Exception):
                gateway.send(ASK)
        lab.start()
        with pytest.raises(HubRefused):  # it has no such object; the request has reached it
            gateway.send(ASK)
        with pytest.raises(MayLeaveLater):
            gateway.send(ASK)
    home.close()
    lab.stop()


def test_a_message_that_another_thread_has_on_its_way_counts_until_it_is_known_not_to_have_left(home: NodeHome) -> None:
    rules = LeavingRules(messages_per_hour=1)
    log, rates = EgressLog(home.database, lambda: NOON), Rates(home.database)
    number = log.begin(ASK, 100, "d" * 64)
    with pytest.raises(LeavingForbidden):
        rates.check(rules, "object-request", 1, NOON)
    log.end(number, "unreachable")
    rates.forget(number)
    rates.check(rules, "object-request", 1, NOON)


def test_what_waits_in_the_outbox_isnt_lost_while_the_policy_cant_be_read(home: NodeHome, lab: HubLab) -> None:
    task = lab.ask(home.site, EndRun(project="p1", run="r1"))
    allow(home, "leavin = 1")
    with home.database.writing() as session:
        number = outbox.post(session, home, ASK)
        outbox.post(session, home, TaskReport(number=task, outcome="done"))
    gateway = Gateway(home)
    held, send = threading.Event(), gateway.send

    def watched(message: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return send(message, *args, **kwargs)
        except MayLeaveLater as later:
            assert later.code == "policy-unusable"
            held.set()
            raise

    gateway.send = watched  # type: ignore[method-assign]
    handlers = TaskHandlers()
    handlers.register(EndRun)(lambda _task: None)
    link = Link(home, gateway, handlers)
    link.start()
    try:
        assert held.wait(PATIENCE)
        eventually(lambda: lab.task_state(task)[0] == "done")  # what is essential passes beside it
        allow(home, "")
        eventually(lambda: _settled(home, number))
    finally:
        link.stop()
    with home.database.reading() as session:
        assert session.get_one(OutboxMessage, number).refused != "policy-unusable", "the hub has had it"


def _settled(home: NodeHome, number: int) -> bool:
    with home.database.reading() as session:
        return number not in [item.id for item in outbox.waiting(session)]


@pytest.fixture
def sink() -> Iterator[tuple[str, int, list[int]]]:
    """A server that takes all it is sent, and says how many bytes came."""
    server = socket.create_server(("127.0.0.1", 0))
    taken = [0]

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    while piece := connection.recv(65536):
                        taken[0] += len(piece)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield ("127.0.0.1", server.getsockname()[1], taken)
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(PATIENCE)


def test_the_engines_bytes_stop_at_the_policys_bound(home: NodeHome, sink: tuple[str, int, list[int]]) -> None:
    """Not five seconds later, when the relay counts them."""
    host, port, taken = sink
    allow(home, "leaving.kind.engine-traffic.bytes_per_hour = 1_000_000")
    gateway = Gateway(home)
    relay = engine_relay(gateway, "r1", (host, port))
    relay_port = relay.start()
    with socket.create_connection(("127.0.0.1", relay_port), timeout=PATIENCE) as connection, suppress(OSError):
        for _ in range(1000):
            connection.sendall(bytes(65536))
    eventually(lambda: relay.shut)
    with socket.create_connection(("127.0.0.1", relay_port), timeout=PATIENCE) as connection, suppress(OSError):
        connection.sendall(bytes(65536))
        assert connection.recv(1) == b"", "it carries nothing while it is shut"
    relay.stop()
    assert 0 < taken[0] <= 1_000_000
    with home.database.reading() as session:
        counted = sum(line.size for line in newest(session, 100) if line.kind == "engine-traffic")
    assert counted >= taken[0]


def test_a_relay_that_was_shut_carries_again_once_there_is_room(sink: tuple[str, int, list[int]]) -> None:
    host, port, taken = sink
    room = [1000]
    relay = Relay((host, port), lambda _up, _down: None, told_every=0.02, room=lambda: room[0], shut_for=0.02)
    relay_port = relay.start()

    def send(size: int) -> None:
        with socket.create_connection(("127.0.0.1", relay_port), timeout=PATIENCE) as connection, suppress(OSError):
            connection.sendall(bytes(size))
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    send(2000)
    eventually(lambda: relay.shut)
    assert taken[0] == 0
    room[0] = 0
    send(10)
    assert relay.shut
    assert taken[0] == 0
    room[0] = 5000
    eventually(lambda: not relay.shut)
    send(2000)
    eventually(lambda: taken[0] == 2000)
    relay.stop()


def test_bytes_that_went_are_counted_even_where_they_were_too_many(home: NodeHome) -> None:
    allow(home, "leaving.kind.engine-traffic.bytes_per_hour = 1000")
    gateway = Gateway(home)
    with pytest.raises(MayLeaveLater):
        gateway.record(EngineTraffic(run="r1"), 5000)
    assert gateway.room("engine-traffic") == 0
    assert rows(home) == [("engine-traffic", "carried", None)]


def test_an_update_isnt_counted_twice_for_all_kinds_together(home: NodeHome) -> None:
    allow(home, "leaving.bytes_per_hour = 1500")
    gateway = Gateway(home)
    gateway.record(UPDATE, 1000)
    gateway.record(EngineTraffic(run="r1"), 1000)
    assert gateway.room("engine-traffic") == 500
