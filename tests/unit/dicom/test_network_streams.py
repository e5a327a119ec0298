"""Associations as streams of bytes: however they are split, cut off or damaged, the end is the same and in order."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests import wire_lab as lab
from tests.wire_lab import Shelf, p_data, value

from wardround.dicom.network import Limits
from wardround.dicom.network_association import Association
from wardround.dicom.network_classes import StorageClasses
from wardround.dicom.network_exchange import Services
from wardround.dicom.network_negotiation import Offer
from wardround.dicom.network_states import State
from wardround.dicom.network_tally import Tally
from wardround.dicom.network_wire import BUFFER, Wire

OFFER = Offer(frozenset({"RESEARCH"}), None, StorageClasses(), commitment=False, maximum_pdu=16384)
DATA = bytes(range(256)) * 40
SESSION = (
    lab.associate_rq()
    + lab.echo(1)
    + lab.store(DATA, "1.2.1", message=2)
    + p_data(value(1, 3, lab.store_rq("1.2.2", message=3)), value(1, 0, b"da"), value(1, 2, b"ta"))
    + p_data(value(1, 3, lab.store_rq("../1.2.3", sop_class=lab.CT)))
    + p_data(value(1, 2, b"refused"))
    + lab.store(b"", "1.2.4", message=4)
    + lab.RELEASE
)
STORED = {"1.2.1": DATA, "1.2.2": b"data", "1.2.4": b""}
LARGEST = max(BUFFER, Limits().request_bytes) + (1 << 16)


class Feed:
    """A connection that gives its bytes in pieces, and then ends."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.data, self.sizes, self.sent = memoryview(data), list(sizes), bytearray()
        self.closed = False
        self.asked = 0

    def recv_into(self, buffer: memoryview, nbytes: int = 0, flags: int = 0, /) -> int:
        assert len(buffer) > 0, "a read of nothing would look like the end"
        self.asked = max(self.asked, len(buffer))
        size = min(self.sizes.pop(0) if self.sizes else len(self.data), len(buffer), len(self.data))
        buffer[:size] = self.data[:size]
        self.data = self.data[size:]
        return size

    def sendall(self, data: bytes, /) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True


class Seats:
    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> bool:
        self.taken += 1
        return True

    def free(self) -> None:
        self.taken -= 1


@dataclass
class Ended:
    sent: bytes
    stored: dict[str, bytes]
    abandoned: list[str]
    largest: int
    headers: list[object] = field(default_factory=list)


def serve(data: bytes, sizes: list[int] | None = None) -> Ended:
    """Run an association over ``data``; it has to end, give its seat back and leave nothing open."""
    feed, shelf, seats, tally = Feed(data, sizes or []), Shelf(), Seats(), Tally()
    association = Association(
        Wire(feed), OFFER, Services(shelf, None, tally), Limits(maximum_pdu=16384), seats, number=1, peer="test"
    )
    association.run()
    assert association.state is State.IDLE
    assert feed.closed
    assert seats.taken == 0
    assert shelf.open_objects == 0
    lab.split_pdus(bytes(feed.sent))
    return Ended(bytes(feed.sent), shelf.stored, shelf.abandoned, feed.asked, shelf.headers)


def splits(most: int) -> st.SearchStrategy[list[int]]:
    return st.one_of(
        st.lists(st.integers(1, 40), max_size=400),
        st.lists(st.integers(1, most), max_size=30),
        st.integers(1, 7).map(lambda size: [size] * (most // size + 1)),
    )


WHOLE = serve(SESSION)


def test_the_session_goes_as_it_should() -> None:
    kinds = [kind for kind, _ in lab.split_pdus(WHOLE.sent)]
    assert kinds == [lab.AC, *[lab.DATA] * 5, lab.RELEASE_RP]
    assert (WHOLE.stored, WHOLE.abandoned) == (STORED, [])


@given(splits(len(SESSION)))
@settings(deadline=None)
def test_how_it_is_split_makes_no_difference(sizes: list[int]) -> None:
    assert serve(SESSION, sizes) == Ended(WHOLE.sent, WHOLE.stored, [], WHOLE.largest, WHOLE.headers)


@given(st.integers(0, len(SESSION)), splits(len(SESSION)))
@settings(deadline=None, max_examples=200)
def test_cut_off_anywhere_only_what_was_whole_is_kept(length: int, sizes: list[int]) -> None:
    ended = serve(SESSION[:length], sizes)
    assert WHOLE.sent.startswith(ended.sent)
    assert set(ended.stored) <= set(STORED)
    assert all(STORED[uid] == data for uid, data in ended.stored.items())
    assert len(ended.abandoned) <= 1


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The session with a few bytes changed, pieces removed, repeated or put in."""
    data = bytearray(SESSION)
    for _ in range(draw(st.integers(1, 6))):
        # Most of the session is pixel data; damage is wanted where the structure is.
        start = draw(st.one_of(st.integers(0, 600), st.integers(0, len(data))))
        kind = draw(st.sampled_from(["change", "remove", "repeat", "insert", "length"]))
        size = draw(st.integers(1, 200))
        if kind == "change":
            for place in range(start, min(start + draw(st.integers(1, 4)), len(data))):
                data[place] = draw(st.integers(0, 255))
        elif kind == "remove":
            del data[start : start + size]
        elif kind == "repeat":
            data[start:start] = data[start : start + size]
        elif kind == "insert":
            data[start:start] = draw(st.binary(max_size=20))
        else:
            data[start : start + 4] = struct.pack(">L", draw(st.sampled_from([0, 1, 2, 5, 1 << 16, (1 << 32) - 1])))
    return bytes(data)


@given(damaged(), splits(len(SESSION)))
@settings(deadline=None, max_examples=400)
def test_whatever_is_damaged_it_ends_in_order_and_the_same_however_it_is_split(data: bytes, sizes: list[int]) -> None:
    one, other = serve(data), serve(data, sizes)
    assert one == other
    assert one.largest <= LARGEST


@given(st.binary(max_size=400), st.booleans(), splits(400))
@settings(deadline=None, max_examples=300)
@example(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", False, [])
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", False, [])
def test_garbage_stores_nothing(data: bytes, associated: bool, sizes: list[int]) -> None:
    ended = serve((lab.associate_rq() if associated else b"") + data, sizes)
    assert ended.stored == {}


@given(st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(0, 3), st.binary(max_size=30)), max_size=12))
@settings(deadline=None, max_examples=200)
def test_values_in_any_order_end_in_order(values: list[tuple[int, int, bytes]]) -> None:
    serve(lab.associate_rq() + p_data(*(value(*one) for one in values)) + lab.RELEASE)


def test_a_long_object_passes_through_a_short_buffer() -> None:
    pieces = b"".join(p_data(value(1, 0, bytes(16000))) for _ in range(200))
    ended = serve(
        lab.associate_rq() + p_data(value(1, 3, lab.store_rq())) + pieces + p_data(value(1, 2, b"")) + lab.RELEASE
    )
    assert len(ended.stored["1.2.999.5.1"]) == 200 * 16000
    assert ended.largest <= BUFFER
