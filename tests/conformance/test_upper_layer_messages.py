"""DIMSE messages on the wire (PS3.7 9, 10 and Annex C; PS3.4 Annexes A and B): right ones, and those that lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from tests import wire_lab as lab
from tests.wire_lab import MR, Caller, Shelf, command, p_data, value

from wardround.dicom.network import StorageReceiver, StoreHeader


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def receiver(shelf: Shelf) -> Iterator[StorageReceiver]:
    with StorageReceiver(["RESEARCH", "CLINIC"], landing=shelf) as running:
        yield running


@pytest.fixture
def caller(receiver: StorageReceiver) -> Iterator[Caller]:
    with Caller(receiver.port) as connected:
        connected.associate()
        yield connected


def test_an_object_arrives_as_it_was_sent_and_its_answer_names_it(caller: Caller, shelf: Shelf) -> None:
    data = bytes(range(256)) * 2000
    caller.send(lab.store(data, message=0xFFFF))
    answer = caller.answer()
    assert shelf.stored == {"1.2.999.5.1": data}
    [header] = shelf.headers
    assert isinstance(header, StoreHeader)
    assert (header.called_ae, header.calling_ae, header.peer) == ("RESEARCH", "SENDER", "127.0.0.1")
    assert (header.sop_class_uid, header.sop_instance_uid) == (MR, "1.2.999.5.1")
    assert header.transfer_syntax_uid == lab.EXPLICIT
    assert {tag: answer[tag] for tag in answer if tag} == {
        0x0002: MR.encode() + b"\0",
        0x0100: struct.pack("<H", 0x8001),
        0x0120: struct.pack("<H", 0xFFFF),
        0x0800: struct.pack("<H", 0x0101),
        0x0900: struct.pack("<H", 0),
        0x1000: b"1.2.999.5.1\0",
    }
    assert struct.unpack("<L", answer[0]) == (sum(8 + len(content) for tag, content in answer.items() if tag),)


def test_associations_are_told_apart(receiver: StorageReceiver, shelf: Shelf) -> None:
    for _ in range(2):
        with Caller(receiver.port) as connected:
            connected.associate()
            connected.send(lab.store() + lab.store())
            assert [connected.status(), connected.status()] == [0, 0]
    numbers = [header.association for header in shelf.headers if isinstance(header, StoreHeader)]
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]


def test_fragments_may_be_cut_and_packed_anyhow(caller: Caller, shelf: Shelf) -> None:
    request = lab.store_rq()
    caller.send(
        p_data(value(1, 1, b""), value(1, 1, request[:5]))
        + p_data(value(1, 1, request[5:]), value(1, 3, b""), value(1, 0, b"da"), value(1, 0, b""))
        + p_data(value(1, 0, b"ta"))
        + p_data(value(1, 2, b""), value(3, 3, lab.echo_rq(2)), value(1, 3, lab.store_rq("1.2.9")), value(1, 2, b"x"))
    )
    assert [caller.status() for _ in range(3)] == [0, 0, 0]
    assert shelf.stored == {"1.2.999.5.1": b"data", "1.2.9": b"x"}


@pytest.mark.parametrize("uid", ["../../etc/passwd", "/etc/passwd", "1.2.3/../..", "a b", "1" * 64, "\xe9\xff", "CON"])
def test_a_uid_is_handed_on_as_it_was_sent(caller: Caller, shelf: Shelf, uid: str) -> None:
    raw = uid.encode("latin-1") + b"\0" * (len(uid) % 2)
    request = command((0x0002, MR), (0x0100, 1), (0x0110, 1), (0x0700, 0), (0x0800, 1), (0x1000, raw))
    caller.send(p_data(value(1, 3, request)) + p_data(value(1, 2, b"data")))
    assert caller.answer()[0x1000] == raw
    assert list(shelf.stored) == [uid]


REFUSED = {
    "no data set": (lab.store_rq(data_set=0x0101), b"", 0xC000),
    "no instance": (command((0x0002, MR), (0x0100, 1), (0x0110, 1), (0x0800, 1)), b"data", 0x0117),
    "an instance of 66 characters": (lab.store_rq("1" * 66), b"data", 0x0117),
    "another class than the context's": (lab.store_rq(sop_class=lab.CT), b"data", 0x0122),
    "no class": (command((0x0100, 1), (0x0110, 1), (0x0800, 1), (0x1000, "1.2")), b"data", 0x0122),
    "an echo on a context for images": (lab.echo_rq(), b"", 0x0122),
    "C-FIND": (command((0x0002, MR), (0x0100, 0x20), (0x0110, 1), (0x0800, 1)), b"data", 0x0211),
    "N-CREATE": (command((0x0002, MR), (0x0100, 0x140), (0x0110, 1), (0x0800, 0x0101)), b"", 0x0211),
    "a command that isn't": (command((0x0100, 0x7777), (0x0110, 1), (0x0800, 0x0101)), b"", 0x0211),
    "N-ACTION for images": (
        command((0x0003, MR), (0x0100, 0x130), (0x0110, 1), (0x0800, 1), (0x1001, "1.2"), (0x1008, 1)),
        b"data",
        0x0122,
    ),
}


@pytest.mark.parametrize("lie", REFUSED)
def test_what_is_wrong_is_refused_and_the_association_goes_on(caller: Caller, shelf: Shelf, lie: str) -> None:
    request, data, status = REFUSED[lie]
    caller.send(p_data(value(1, 3, request)))
    if data:
        caller.send(p_data(value(1, 0, data)) + p_data(value(1, 2, data)))
    answer = caller.answer()
    assert lab.number_of(answer, 0x0900) == status
    assert lab.number_of(answer, 0x0100) == lab.number_of(lab.elements_of(request), 0x0100) | 0x8000
    assert shelf.stored == {}
    caller.send(lab.store())
    assert caller.status() == 0


def test_images_on_a_context_for_verification_are_refused(caller: Caller, shelf: Shelf) -> None:
    caller.send(p_data(value(3, 3, lab.store_rq(sop_class=lab.VERIFICATION)), value(3, 2, b"data")))
    assert caller.status() == 0x0122
    assert shelf.headers == []


def test_a_cancel_and_stray_answers_are_read_over(caller: Caller) -> None:
    cancel = command((0x0100, 0x0FFF), (0x0120, 1), (0x0800, 0x0101))
    stray = command((0x0002, MR), (0x0100, 0x8001), (0x0120, 1), (0x0800, 0x0101), (0x0900, 0))
    caller.send(p_data(value(1, 3, cancel)) + p_data(value(1, 3, stray)) + lab.echo(5))
    assert lab.number_of(caller.answer(), 0x0120) == 5


def test_a_group_length_that_is_wrong_does_no_harm(caller: Caller) -> None:
    request = bytearray(lab.echo_rq())
    request[8:12] = b"\xff\xff\xff\xff"
    caller.send(p_data(value(3, 3, bytes(request))))
    assert caller.status() == 0


HOPELESS = {
    "no command field": command((0x0002, MR), (0x0110, 1), (0x0800, 0x0101)),
    "no message ID": command((0x0002, MR), (0x0100, 1), (0x0800, 1), (0x1000, "1.2")),
    "no data set type": command((0x0002, MR), (0x0100, 1), (0x0110, 1), (0x1000, "1.2")),
    "a length past the end": lab.store_rq()[:-4],
    "a length of 4 GB": lab.store_rq() + struct.pack("<HHL", 0, 0x1030, 0xFFFFFFFF),
    "an element twice": lab.store_rq() + lab.element(0x1000, "1.2"),
    "a number of 4 bytes": command((0x0002, MR), (0x0100, b"\1\0\0\0"), (0x0110, 1), (0x0800, 1)),
    "an element of another group": lab.store_rq() + struct.pack("<HHL", 8, 0x18, 0),
    "nothing": b"",
    "garbage": b"GIF89a" * 9,
}


@pytest.mark.parametrize("lie", HOPELESS)
def test_a_command_that_cannot_be_answered_ends_the_association(caller: Caller, shelf: Shelf, lie: str) -> None:
    caller.send(p_data(value(1, 3, HOPELESS[lie])) + p_data(value(1, 2, b"data")))
    assert caller.read() == (lab.ABORT, bytes((0, 0, 0, 0)))
    assert shelf.headers == []


BROKEN = {
    "a context that wasn't accepted": (p_data(value(5, 3, lab.echo_rq())), 6),
    "a data set with no command": (p_data(value(1, 2, b"data")), 5),
    "a command in a data set": (p_data(value(1, 3, lab.store_rq())) + p_data(value(1, 3, lab.store_rq())), 5),
    "a context that changes midway": (p_data(value(1, 3, lab.store_rq())) + p_data(value(3, 2, b"data")), 6),
    "a value longer than its PDU": (lab.pdu(4, struct.pack(">LBB", 99, 1, 2) + b"data"), 6),
    "a value of one byte": (lab.pdu(4, struct.pack(">LB", 1, 1) + b"dat"), 6),
    "a value of no bytes": (lab.pdu(4, bytes(8)), 6),
    "a value with its head cut off": (lab.pdu(4, bytes(5)), 6),
    "a value of 4 GB": (lab.pdu(4, struct.pack(">LBB", 0xFFFFFFFF, 1, 2)), 6),
    "a PDU of 4 GB": (struct.pack(">BBL", 4, 0, 0xFFFFFFFF), 6),
}


@pytest.mark.parametrize("lie", BROKEN)
def test_a_pdu_that_lies_ends_the_association(caller: Caller, shelf: Shelf, lie: str) -> None:
    sent, reason = BROKEN[lie]
    caller.send(sent)
    assert caller.read() == (lab.ABORT, bytes((0, 0, 2, reason)))
    assert (shelf.stored, shelf.open_objects) == ({}, 0)


def test_a_command_set_does_not_grow_without_end(caller: Caller) -> None:
    piece = p_data(value(1, 1, lab.element(0x1000, "1" * 4000)))
    caller.send(piece * 5)
    assert caller.read() == (lab.ABORT, bytes(4))


def test_a_release_within_an_object_leaves_nothing_of_it(caller: Caller, shelf: Shelf) -> None:
    caller.send(p_data(value(1, 3, lab.store_rq())) + p_data(value(1, 0, b"half")) + lab.RELEASE)
    assert caller.read() == (lab.RELEASE_RP, bytes(4))
    assert (shelf.stored, shelf.abandoned) == ({}, ["1.2.999.5.1"])


def test_an_empty_pdu_does_no_harm(caller: Caller) -> None:
    caller.send(lab.pdu(4, b"") + lab.echo())
    assert caller.status() == 0
