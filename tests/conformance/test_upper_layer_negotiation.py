"""What an association is accepted with, and how it is refused (PS3.8 9.3, PS3.7 Annex D), read with another library."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)
from tests import wire_lab as lab
from tests.wire_lab import AC, COMMITMENT, EXPLICIT, IMPLICIT, MR, RJ, VERIFICATION, Caller, Shelf

from wardround.dicom.network import CommitmentReport, CommitmentRequest, StorageReceiver

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
J2K = "1.2.840.10008.1.2.4.90"
PRIVATE = "1.3.12.2.1107.5.9.1"
ACCEPTED, USER_REJECTION, ABSTRACT_SYNTAX, TRANSFER_SYNTAX = 0, 1, 3, 4


class Nobody:
    def request(self, request: CommitmentRequest) -> CommitmentReport | None:
        return None

    def delivered(self, request: CommitmentRequest, *, taken: bool) -> None:
        raise AssertionError("nothing was reported")


@pytest.fixture
def receiver() -> Iterator[StorageReceiver]:
    with StorageReceiver(["RESEARCH", "CLINIC"], landing=Shelf()) as running:
        yield running


def asked(receiver: StorageReceiver, request: bytes) -> A_ASSOCIATE:
    with Caller(receiver.port) as caller:
        body = caller.associate(request)
    answer = A_ASSOCIATE_AC()
    answer.decode(lab.pdu(AC, body))
    return answer.to_primitive()


def results(receiver: StorageReceiver, *contexts: tuple[int, str, tuple[str, ...]]) -> dict[int, tuple[int, str]]:
    """Result and, if accepted, transfer syntax of each context."""
    answer = asked(receiver, lab.associate_rq(contexts=contexts))
    return {
        context.context_id: (context.result, str(context.transfer_syntax[0]) if context.result == 0 else "")
        for context in answer.presentation_context_definition_results_list
    }


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (lab.associate_rq(called="NOBODY"), (1, 1, 7)),
        (lab.associate_rq(called=""), (1, 1, 7)),
        (lab.associate_rq(called="research"), (1, 1, 7)),
        (lab.associate_rq(calling="STRANGER"), (1, 1, 3)),
        (lab.associate_rq(application="1.2.840.10008.3.1.1.2"), (1, 1, 2)),
        (lab.associate_rq(version=2), (1, 2, 2)),
    ],
)
def test_each_ground_of_refusal_has_its_code(request_: bytes, refusal: tuple[int, int, int]) -> None:
    receiver = StorageReceiver(["RESEARCH"], landing=Shelf(), calling_ae_titles=["SENDER"])
    with receiver, Caller(receiver.port) as caller:
        caller.send(request_)
        assert caller.read() == (RJ, bytes((0, *refusal)))
        with Caller(receiver.port) as other:
            other.associate()


def test_protocol_versions_besides_the_first_do_no_harm(receiver: StorageReceiver) -> None:
    assert asked(receiver, lab.associate_rq(version=0x8001)).result == 0


def test_one_more_than_there_is_room_for_is_refused_for_the_moment() -> None:
    receiver = StorageReceiver(["RESEARCH"], landing=Shelf(), associations=2)
    with receiver, Caller(receiver.port) as first, Caller(receiver.port) as second, Caller(receiver.port) as third:
        first.associate()
        second.associate()
        third.send(lab.associate_rq())
        assert third.read() == (RJ, bytes((0, 2, 3, 2)))
        first.send(lab.RELEASE)
        assert first.read() == (lab.RELEASE_RP, bytes(4))
        with Caller(receiver.port) as fourth:
            fourth.associate()
    assert receiver.counts()["refused-full"] == 1


def test_every_storage_class_of_the_standard_is_taken(receiver: StorageReceiver) -> None:
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    retired = ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.9", "1.2.840.10008.5.1.1.27"]
    everything = classes + retired
    for start in range(0, len(everything), 120):
        contexts = [(2 * n + 1, uid, (IMPLICIT,)) for n, uid in enumerate(everything[start : start + 120])]
        assert set(results(receiver, *contexts).values()) == {(ACCEPTED, IMPLICIT)}


def test_other_services_are_not_offered(receiver: StorageReceiver) -> None:
    others = [FIND, COMMITMENT, "1.2.840.10008.1.3.10", "1.2.840.10008.5.1.1.9", PRIVATE, ""]
    answers = results(receiver, *((2 * n + 1, uid, (IMPLICIT,)) for n, uid in enumerate(others)))
    assert {result for result, _ in answers.values()} == {ABSTRACT_SYNTAX}


def test_private_classes_are_taken_by_name_or_all_together() -> None:
    contexts = (
        (1, PRIVATE, (EXPLICIT,)),
        (3, "1.2.999.77", (EXPLICIT,)),
        (5, FIND, (EXPLICIT,)),
        (7, "../x", (EXPLICIT,)),
    )
    with StorageReceiver(["RESEARCH"], landing=Shelf(), extra_sop_classes=[PRIVATE]) as receiver:
        assert [result for result, _ in results(receiver, *contexts).values()] == [0, 3, 3, 3]
    with StorageReceiver(["RESEARCH"], landing=Shelf(), accept_unknown=True) as receiver:
        assert [result for result, _ in results(receiver, *contexts).values()] == [0, 0, 3, 3]
    with pytest.raises(ValueError, match="UID"):
        StorageReceiver(["RESEARCH"], landing=Shelf(), extra_sop_classes=["CT images"])


@pytest.mark.parametrize(
    ("proposed", "taken"),
    [
        ((EXPLICIT, IMPLICIT), EXPLICIT),
        ((IMPLICIT, EXPLICIT), IMPLICIT),
        ((J2K, EXPLICIT), J2K),
        ((lab.BIG, IMPLICIT), IMPLICIT),
        ((lab.BIG,), lab.BIG),
        (("1.2.840.113619.5.2", EXPLICIT), EXPLICIT),
        (("1.2.840.113619.5.2", "1.2.999.9"), "1.2.840.113619.5.2"),
        (("../x", "1.2.999.9"), "1.2.999.9"),
    ],
)
def test_an_object_comes_in_the_transfer_syntax_that_its_sender_prefers(
    receiver: StorageReceiver, proposed: tuple[str, ...], taken: str
) -> None:
    assert results(receiver, (1, MR, proposed)) == {1: (ACCEPTED, taken)}


def test_a_context_without_a_usable_transfer_syntax_is_refused(receiver: StorageReceiver) -> None:
    contexts = ((1, MR, ()), (3, MR, ("../x",)), (5, VERIFICATION, (J2K,)), (255, VERIFICATION, (EXPLICIT,)))
    assert [result for result, _ in results(receiver, *contexts).values()] == [4, 4, 4, 0]


def test_commitment_is_offered_where_somebody_answers_it() -> None:
    with StorageReceiver(["RESEARCH"], landing=Shelf(), commitments=Nobody()) as receiver:
        assert results(receiver, (1, COMMITMENT, (J2K, IMPLICIT))) == {1: (ACCEPTED, IMPLICIT)}


def role(sop_class: str, scu: int, scp: int) -> bytes:
    uid = sop_class.encode()
    return lab.item(0x54, struct.pack(">H", len(uid)) + uid + bytes((scu, scp)))


def test_we_are_the_provider_whatever_role_is_asked_for(receiver: StorageReceiver) -> None:
    contexts = ((1, MR, (EXPLICIT,)), (3, lab.CT, (EXPLICIT,)), (5, FIND, (EXPLICIT,)))
    user = role(MR, 1, 1) + role(lab.CT, 0, 1) + role(FIND, 1, 0) + role(VERIFICATION, 1, 0)
    answer = asked(receiver, lab.associate_rq(contexts=contexts, user=user))
    roles = [one for one in answer.user_information if isinstance(one, SCP_SCU_RoleSelectionNegotiation)]
    assert {(str(one.sop_class_uid), one.scu_role, one.scp_role) for one in roles} == {
        (MR, True, False),
        (lab.CT, False, False),
    }
    assert [one.result for one in answer.presentation_context_definition_results_list] == [
        ACCEPTED,
        USER_REJECTION,
        ABSTRACT_SYNTAX,
    ]


def test_one_operation_at_a_time_is_what_a_window_is_answered_with(receiver: StorageReceiver) -> None:
    def windows(request: bytes) -> list[AsynchronousOperationsWindowNegotiation]:
        items = asked(receiver, request).user_information
        return [one for one in items if isinstance(one, AsynchronousOperationsWindowNegotiation)]

    [window] = windows(lab.associate_rq(user=lab.item(0x53, struct.pack(">HH", 0, 0))))
    assert (window.maximum_number_operations_invoked, window.maximum_number_operations_performed) == (1, 1)
    assert windows(lab.associate_rq()) == []


def test_an_identity_is_never_confirmed_and_extensions_are_read_over(receiver: StorageReceiver) -> None:
    """PS3.7 D.3.3.7: without a server response, the requestor knows that its identity wasn't checked."""
    identity = lab.item(0x58, bytes((2, 1)) + struct.pack(">H", 4) + b"jago" + struct.pack(">H", 6) + b"secret")
    extended = lab.item(0x56, struct.pack(">H", len(MR)) + MR.encode() + b"\2\0\1")
    common = lab.item(0x57, bytes(10))
    unknown = lab.item(0x99, b"whatever")
    answer = asked(receiver, lab.associate_rq(user=identity + extended + common + unknown, more=unknown))
    assert answer.result == 0
    assert not [one for one in answer.user_information if isinstance(one, UserIdentityNegotiation)]
    assert {type(one).__name__ for one in answer.user_information} == {
        "MaximumLengthNotification",
        "ImplementationClassUIDNotification",
        "ImplementationVersionNameNotification",
    }


@pytest.mark.parametrize(
    "request_",
    [
        lab.associate_rq(contexts=[]),
        lab.associate_rq(contexts=[(2, MR, (EXPLICIT,))]),
        lab.associate_rq(contexts=[(1, MR, (EXPLICIT,)), (1, lab.CT, (EXPLICIT,))]),
        lab.associate_rq(maximum=6),
        lab.associate_rq(user=lab.item(0x51, b"\0")),
        lab.associate_rq(user=lab.item(0x54, b"\0\xff1.2\1\1")),
        lab.associate_rq(user=b"\x54\0\xff\xff1.2"),
        lab.associate_rq(more=b"\x20\0\0\x05\1\0\0\0"),
        lab.pdu(lab.RQ, b""),
        lab.pdu(lab.RQ, lab.associate_rq()[6:74]),
        struct.pack(">BBL", lab.RQ, 0, 1 << 31),
    ],
)
def test_a_request_that_is_malformed_is_aborted(receiver: StorageReceiver, request_: bytes) -> None:
    with Caller(receiver.port) as caller:
        caller.send(request_)
        assert caller.read() == (lab.ABORT, bytes(4))
    with Caller(receiver.port) as other:
        other.associate()
