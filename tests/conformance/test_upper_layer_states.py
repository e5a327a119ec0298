"""PS3.8 Table 9-10: as a table, against another implementation's, and on the wire, state by state."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest
from pynetdicom.fsm import TRANSITION_TABLE
from tests import wire_lab as lab
from tests.wire_lab import ABORT, AC, DATA, RELEASE_RP, RELEASE_RQ, RJ, Caller, Shelf

from wardround.dicom.network import Limits, StorageReceiver
from wardround.dicom.network_states import NEXT, TABLE, Action, Event, State

SHORT = Limits(artim_seconds=1.0, idle_seconds=0.2)


def test_every_pair_of_state_and_event_is_as_another_implementation_has_it() -> None:
    for state in State:
        for event in Event:
            theirs = TRANSITION_TABLE.get((f"Evt{event.value}", f"Sta{state.value}"))
            ours = TABLE.get((state, event))
            assert (ours.value if ours else None) == theirs, (state, event)
    assert len(TABLE) == len(TRANSITION_TABLE)


def test_whatever_a_peer_may_send_has_an_action_wherever_a_connection_is_open() -> None:
    from_the_peer = [event for event in Event if event.name.endswith("_PDU")] + [Event.CONNECTION_CLOSED]
    connected = [state for state in State if state not in (State.IDLE, State.AWAITING_CONNECTION)]
    assert len(from_the_peer) == 9
    assert all((state, event) in TABLE for state in connected for event in from_the_peer)
    assert {action for action in Action if action not in NEXT} == {Action.AE_6, Action.AR_8}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def receiver(shelf: Shelf) -> Iterator[StorageReceiver]:
    with StorageReceiver(["RESEARCH"], landing=shelf) as running:
        yield running


@pytest.fixture
def hasty(shelf: Shelf) -> Iterator[StorageReceiver]:
    with StorageReceiver(["RESEARCH"], landing=shelf, limits=SHORT) as running:
        yield running


def aborts(source: int, reason: int = 0) -> tuple[int, bytes]:
    return ABORT, bytes((0, 0, source, reason))


def to_sta6(caller: Caller) -> None:
    caller.associate()


def to_sta13_after_release(caller: Caller) -> None:
    caller.associate()
    caller.send(lab.RELEASE)
    assert caller.read() == (RELEASE_RP, bytes(4))


def to_sta13_after_rejection(caller: Caller) -> None:
    caller.send(lab.associate_rq(called="NOBODY"))
    assert caller.read() == (RJ, bytes((0, 1, 1, 7)))


def to_sta7(caller: Caller) -> None:
    """The receiver has had nothing to do for a while, and asks to be released."""
    caller.associate()
    assert caller.read() == (RELEASE_RQ, bytes(4))


def to_sta10(caller: Caller) -> None:
    """Both have asked to be released."""
    to_sta7(caller)
    caller.send(lab.RELEASE)


ANY_AC = lab.pdu(AC, bytes(68))
ANY_RJ = lab.pdu(RJ, bytes(4))
ANY_DATA = lab.echo()
UNKNOWN = lab.pdu(0x47, b"GET / HTTP/1.1")
Reach = Callable[[Caller], None]


@pytest.mark.parametrize("sent", [ANY_AC, ANY_RJ, ANY_DATA, lab.RELEASE, lab.RELEASE_ANSWER, UNKNOWN])
def test_sta2_takes_a_request_alone(receiver: StorageReceiver, sent: bytes) -> None:
    """AA-1."""
    with Caller(receiver.port) as caller:
        caller.send(sent)
        assert caller.read() == aborts(0)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (lab.associate_rq(), 2),
        (ANY_AC, 2),
        (ANY_RJ, 2),
        (lab.RELEASE_ANSWER, 2),
        (UNKNOWN, 1),
        (lab.pdu(RELEASE_RQ, bytes(5)), 6),
        (lab.pdu(RELEASE_RQ, b""), 6),
        (lab.pdu(ABORT, bytes(4096)), 6),
    ],
)
def test_sta6_aborts_what_is_unexpected_and_says_why(receiver: StorageReceiver, sent: bytes, reason: int) -> None:
    """AA-8."""
    with Caller(receiver.port) as caller:
        to_sta6(caller)
        caller.send(sent)
        assert caller.read() == aborts(2, reason)


def test_sta6_serves_and_releases(receiver: StorageReceiver) -> None:
    """DT-2, DT-1, AR-2, AR-4, and AR-5 at the end."""
    with Caller(receiver.port) as caller:
        to_sta6(caller)
        caller.send(lab.echo())
        assert caller.status() == 0
        caller.send(lab.RELEASE)
        assert caller.read() == (RELEASE_RP, bytes(4))


@pytest.mark.parametrize("reach", [to_sta6, to_sta7, to_sta10, to_sta13_after_rejection, to_sta13_after_release])
def test_an_abort_closes_the_connection_without_another_word(hasty: StorageReceiver, reach: Reach) -> None:
    """AA-3; AA-2 in Sta13."""
    with Caller(hasty.port) as caller:
        reach(caller)
        caller.send(lab.ABORTED)
        assert caller.rest() == []


def test_sta7_goes_on_until_the_release_is_answered(hasty: StorageReceiver, shelf: Shelf) -> None:
    """AR-1; AR-6 takes what crosses the release; AR-3 closes."""
    with Caller(hasty.port) as caller:
        to_sta7(caller)
        caller.send(lab.store())
        caller.send(lab.RELEASE_ANSWER)
        assert caller.rest() == []
    assert shelf.stored == {}, "it couldn't have been answered, so the sender must not lose it"


@pytest.mark.parametrize("sent", [lab.associate_rq(), ANY_AC, ANY_RJ])
def test_sta7_aborts_what_is_unexpected(hasty: StorageReceiver, sent: bytes) -> None:
    with Caller(hasty.port) as caller:
        to_sta7(caller)
        caller.send(sent)
        assert caller.read() == aborts(2, 2)


def test_sta7_does_not_wait_for_ever(shelf: Shelf) -> None:
    limits = Limits(stall_seconds=0.3, idle_seconds=0.2)
    with StorageReceiver(["RESEARCH"], landing=shelf, limits=limits) as hasty, Caller(hasty.port) as caller:
        to_sta7(caller)
        assert caller.read() == aborts(0)


def test_a_release_collision_ends_in_order(hasty: StorageReceiver) -> None:
    """AR-8, AR-10, AR-4: the acceptor answers once its own release was answered."""
    with Caller(hasty.port) as caller:
        to_sta10(caller)
        caller.send(lab.RELEASE_ANSWER)
        assert caller.read() == (RELEASE_RP, bytes(4))
        assert caller.rest() == []


@pytest.mark.parametrize("sent", [lab.associate_rq(), ANY_AC, ANY_DATA, lab.RELEASE])
def test_sta10_aborts_what_is_unexpected(hasty: StorageReceiver, sent: bytes) -> None:
    with Caller(hasty.port) as caller:
        to_sta10(caller)
        caller.send(sent)
        assert caller.read() == aborts(2, 2)


@pytest.mark.parametrize("reach", [to_sta13_after_rejection, to_sta13_after_release])
@pytest.mark.parametrize("sent", [ANY_AC, ANY_RJ, ANY_DATA, lab.RELEASE, lab.RELEASE_ANSWER, lab.store(bytes(99999))])
def test_sta13_ignores_what_still_comes(hasty: StorageReceiver, shelf: Shelf, reach: Reach, sent: bytes) -> None:
    """AA-6."""
    with Caller(hasty.port) as caller:
        reach(caller)
        caller.send(sent)
        assert caller.rest() == []
    assert shelf.headers == []


@pytest.mark.parametrize("reach", [to_sta13_after_rejection, to_sta13_after_release])
@pytest.mark.parametrize(("sent", "reason"), [(lab.associate_rq(), 2), (UNKNOWN, 1)])
def test_sta13_aborts_a_new_request_and_garbage(
    receiver: StorageReceiver, reach: Reach, sent: bytes, reason: int
) -> None:
    """AA-7."""
    with Caller(receiver.port) as caller:
        reach(caller)
        caller.send(sent)
        assert caller.read() == aborts(2, reason)


def test_artim_closes_what_never_asks(hasty: StorageReceiver) -> None:
    """Evt18 in Sta2, AA-2: closed, with nothing sent."""
    with Caller(hasty.port) as caller:
        caller.send(lab.associate_rq()[:50])
        assert caller.rest() == []


@pytest.mark.parametrize("reach", [to_sta13_after_rejection, to_sta13_after_release])
def test_artim_closes_what_does_not_close_itself(hasty: StorageReceiver, reach: Reach) -> None:
    with Caller(hasty.port) as caller:
        reach(caller)
        assert caller.rest() == []


def test_artim_is_not_put_off_by_a_trickle(hasty: StorageReceiver) -> None:
    with Caller(hasty.port) as caller:
        to_sta13_after_release(caller)
        caller.connection.settimeout(0.02)
        sent = 0
        with pytest.raises(OSError, match=r"(?i)pipe|reset"):
            while sent < 1000:
                caller.send(b"\x04")
                sent += 1
                try:
                    assert caller.connection.recv(1) == b""
                except TimeoutError:
                    continue


def test_the_answer_repeats_the_titles_as_they_came(receiver: StorageReceiver) -> None:
    """PS3.8 9.3.3: the fields of the request, byte for byte."""
    request = lab.associate_rq(called=" RESEARCH ", calling="  SENDER")
    with Caller(receiver.port) as caller:
        assert caller.associate(request)[4:68] == request[10:74]


def test_the_answer_fits_the_peers_maximum(receiver: StorageReceiver) -> None:
    """PS3.8 Annex D.1: no P-DATA-TF is longer than the peer takes, were it 7 bytes."""
    with Caller(receiver.port) as caller:
        caller.associate(lab.associate_rq(maximum=7))
        caller.send(lab.echo(7))
        pieces = []
        while not pieces or not pieces[-1][1][5] & 2:
            got = caller.read()
            assert got is not None
            pieces.append(got)
        assert {(kind, len(body)) for kind, body in pieces} == {(DATA, 7)}
        elements = lab.elements_of(b"".join(body[6:] for _, body in pieces))
        assert lab.number_of(elements, 0x0120) == 7


def test_our_maximum_is_told_and_held_to(shelf: Shelf) -> None:
    receiver = StorageReceiver(["RESEARCH"], landing=shelf, limits=Limits(maximum_pdu=8192))
    with receiver, Caller(receiver.port) as caller:
        assert lab.item(0x51, struct.pack(">L", 8192)) in caller.associate()
        caller.send(lab.store(bytes(8192), size=8192 - 6))
        assert caller.status() == 0
        caller.send(lab.store(bytes(8192), uid="1.2.999.5.2", size=8192 - 5))
        assert caller.read() == aborts(2, 6)
    assert (list(shelf.stored), shelf.abandoned) == (["1.2.999.5.1"], ["1.2.999.5.2"])
