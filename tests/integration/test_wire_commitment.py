"""Storage commitment (PS3.4 Annex J): asked for by another library, reported to it on either association."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_role
from pynetdicom.sop_class import StorageCommitmentPushModel
from tests import wire_lab as lab
from tests.wire_lab import COMMITMENT, COMMITMENT_INSTANCE, MR, Caller, Shelf, command, p_data, value

from wardround.dicom.header_meta import file_meta
from wardround.dicom.network import (
    NO_SUCH_OBJECT,
    AssociationRefused,
    CommitmentReport,
    CommitmentRequest,
    Limits,
    Peer,
    PeerUnreachable,
    RefusedStorage,
    StorageReceiver,
    report_commitment,
)
from wardround.dicom.network_peer import answer, listen

INSTANCES = ((MR, "1.2.999.5.1"), (MR, "1.2.999.5.2"))
CONTEXTS = ((1, COMMITMENT, (lab.EXPLICIT,)), (3, MR, (lab.EXPLICIT,)))


class Desk:
    """Answers commitments with what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[CommitmentRequest] = []
        self.answer: CommitmentReport | RefusedStorage | OSError | None = None
        self.told: list[bool] = []
        self.settled = threading.Event()

    def request(self, request: CommitmentRequest) -> CommitmentReport | RefusedStorage | None:
        self.asked.append(request)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    def delivered(self, request: CommitmentRequest, *, taken: bool) -> None:
        assert request is self.asked[-1]
        self.told.append(taken)
        self.settled.set()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def receiver(desk: Desk) -> Iterator[StorageReceiver]:
    with StorageReceiver(["RESEARCH"], landing=Shelf(), commitments=desk) as running:
        yield running


@pytest.fixture
def caller(receiver: StorageReceiver) -> Iterator[Caller]:
    with Caller(receiver.port) as connected:
        connected.associate(lab.associate_rq(contexts=CONTEXTS))
        yield connected


def asking(*instances: tuple[str, str], transaction: str = "1.2.999.8.1") -> Dataset:
    wanted = Dataset()
    wanted.TransactionUID = transaction
    wanted.ReferencedSOPSequence = []
    for sop_class, uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        wanted.ReferencedSOPSequence.append(item)
    return wanted


def written(wanted: Dataset, syntax: str = lab.EXPLICIT) -> bytes:
    data = encode(wanted, syntax == lab.IMPLICIT, syntax != lab.BIG)
    assert data is not None
    return data


def action(*, sop_class: str = COMMITMENT, instance: str = COMMITMENT_INSTANCE, kind: int = 1) -> bytes:
    return command((0x0003, sop_class), (0x0100, 0x130), (0x0110, 9), (0x0800, 1), (0x1001, instance), (0x1008, kind))


def ask(caller: Caller, data: bytes, request: bytes | None = None) -> dict[int, bytes]:
    caller.send(p_data(value(1, 3, request or action())) + p_data(value(1, 2, data)))
    return caller.answer()


@pytest.mark.parametrize("syntax", [lab.EXPLICIT, lab.IMPLICIT, lab.BIG])
def test_a_request_is_handed_on_and_answered(receiver: StorageReceiver, desk: Desk, syntax: str) -> None:
    with Caller(receiver.port) as caller:
        caller.associate(lab.associate_rq(contexts=[(1, COMMITMENT, (syntax,))]))
        answer = ask(caller, written(asking(*INSTANCES), syntax))
    assert lab.number_of(answer, 0x0900) == 0
    assert (lab.number_of(answer, 0x0100), lab.number_of(answer, 0x0120)) == (0x8130, 9)
    assert answer[0x1000].rstrip(b"\0").decode() == COMMITMENT_INSTANCE
    [request] = desk.asked
    assert (request.calling_ae, request.called_ae, request.peer) == ("SENDER", "RESEARCH", "127.0.0.1")
    assert (request.transaction_uid, request.instances) == ("1.2.999.8.1", INSTANCES)
    assert "1.2.999.5" not in repr(request)


def test_what_cannot_be_asked_for_is_refused_with_its_status(caller: Caller, desk: Desk) -> None:
    whole = written(asking(*INSTANCES))
    nameless = asking(*INSTANCES)
    del nameless.TransactionUID
    half = asking(*INSTANCES)
    del half.ReferencedSOPSequence[1].ReferencedSOPInstanceUID
    wrong = [
        (whole, action(sop_class=MR), 0x0122),
        (whole, action(instance="1.2.3"), 0x0112),
        (whole, action(kind=2), 0x0123),
        (whole[:-5], None, 0x0110),
        (b"GIF89a", None, 0x0110),
        (written(nameless), None, 0x0120),
        (written(half), None, 0x0120),
        (written(asking()), None, 0x0120),
    ]
    statuses = [lab.number_of(ask(caller, data, request), 0x0900) for data, request, _ in wrong]
    assert statuses == [status for _, _, status in wrong]
    assert desk.asked == []
    assert lab.number_of(ask(caller, whole), 0x0900) == 0


def test_the_desk_may_refuse_or_fail(caller: Caller, desk: Desk) -> None:
    for outcome, status in ((RefusedStorage(0x0131), 0x0131), (OSError("full"), 0x0213)):
        desk.answer = outcome
        assert lab.number_of(ask(caller, written(asking(*INSTANCES))), 0x0900) == status


def test_a_request_does_not_grow_without_end(desk: Desk) -> None:
    limits = Limits(action_bytes=4096)
    receiver = StorageReceiver(["RESEARCH"], landing=Shelf(), commitments=desk, limits=limits)
    with receiver, Caller(receiver.port) as caller:
        caller.associate(lab.associate_rq(contexts=CONTEXTS))
        many = written(asking(*((MR, f"1.2.{number}") for number in range(200))))
        assert lab.number_of(ask(caller, many), 0x0900) == 0x0213
        assert lab.number_of(ask(caller, written(asking(*INSTANCES))), 0x0900) == 0
    assert len(desk.asked) == 1


def report(*, failed: bool = True) -> CommitmentReport:
    lost = ((MR, "1.2.999.5.2", NO_SUCH_OBJECT),) if failed else ()
    return CommitmentReport("1.2.999.8.1", INSTANCES[:1] if failed else INSTANCES, lost)


def check(event_type: int, information: Dataset, *, failed: bool) -> None:
    assert event_type == (2 if failed else 1)
    assert information.TransactionUID == "1.2.999.8.1"
    done = [(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID) for one in information.ReferencedSOPSequence]
    assert done == list(report(failed=failed).done)
    lost = [
        (one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID, one.FailureReason)
        for one in information.get("FailedSOPSequence", [])
    ]
    assert lost == list(report(failed=failed).failed)


def test_a_report_at_once_comes_on_the_same_association(caller: Caller, desk: Desk) -> None:
    desk.answer = report()
    assert lab.number_of(ask(caller, written(asking(*INSTANCES))), 0x0900) == 0
    event = caller.answer()
    assert (lab.number_of(event, 0x0100), event[0x0002].rstrip(b"\0").decode()) == (0x0100, COMMITMENT)
    data = caller.answer()[-1]
    check(lab.number_of(event, 0x1002), pydicom.dcmread(BytesIO(lead(data)), force=True), failed=True)
    caller.send(
        p_data(
            value(
                1,
                3,
                command(
                    (0x0002, COMMITMENT),
                    (0x0100, 0x8100),
                    (0x0120, lab.number_of(event, 0x0110)),
                    (0x0800, 0x0101),
                    (0x0900, 0),
                ),
            )
        )
    )
    assert desk.settled.wait(20)
    assert desk.told == [True]


def lead(data: bytes) -> bytes:
    """`data` with the transfer syntax that a reader needs to be told."""
    return file_meta(COMMITMENT, "1.2", lab.EXPLICIT) + data


def test_a_report_that_is_not_confirmed_is_told_so(caller: Caller, desk: Desk) -> None:
    desk.answer = report(failed=False)
    ask(caller, written(asking(*INSTANCES)))
    caller.answer(), caller.answer()
    caller.send(lab.RELEASE)
    assert caller.read() == (lab.RELEASE_RP, bytes(4))
    assert desk.told == [False]


def test_a_report_is_cut_to_what_the_peer_takes(receiver: StorageReceiver, desk: Desk) -> None:
    desk.answer = CommitmentReport("1.2.999.8.1", tuple((MR, f"1.2.{number}") for number in range(100)), ())
    with Caller(receiver.port) as caller:
        caller.associate(lab.associate_rq(contexts=CONTEXTS, maximum=512))
        ask(caller, written(asking(*INSTANCES)))
        caller.answer()
        told = pydicom.dcmread(BytesIO(lead(caller.answer()[-1])))
    assert len(told.ReferencedSOPSequence) == 100


class Requestor:
    """Another library's listener for reports, in the role of the user."""

    def __init__(self, *, status: int = 0, reverse_role: bool = True) -> None:
        self.events: list[tuple[int, Dataset]] = []
        self._status = status
        entity = AE("MODALITY")
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=not reverse_role, scp_role=reverse_role)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._note)]
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.peer = Peer("127.0.0.1", int(self._server.server_address[1]), "MODALITY")
        self.stop = entity.shutdown

    def _note(self, event: evt.Event) -> tuple[int, None]:
        self.events.append((event.request.EventTypeID, event.event_information))
        return self._status, None


@pytest.mark.parametrize("failed", [True, False])
def test_a_later_report_goes_over_an_association_of_its_own(failed: bool) -> None:
    requestor = Requestor()
    try:
        report_commitment(requestor.peer, "RESEARCH", report(failed=failed))
        [(kind, information)] = requestor.events
        check(kind, information, failed=failed)
    finally:
        requestor.stop()


def test_a_report_that_did_not_arrive_is_an_error() -> None:
    requestor = Requestor(status=0x0110)
    try:
        with pytest.raises(AssociationRefused, match="confirm"):
            report_commitment(requestor.peer, "RESEARCH", report())
    finally:
        requestor.stop()
    with pytest.raises(PeerUnreachable):
        report_commitment(requestor.peer, "RESEARCH", report())


def test_another_library_asks_and_hears(receiver: StorageReceiver, desk: Desk) -> None:
    """With role negotiation, as the requestor of commitment is the user in both directions."""
    entity = AE("MODALITY")
    entity.add_requested_context(StorageCommitmentPushModel, lab.IMPLICIT)
    made = entity.associate(
        "127.0.0.1",
        receiver.port,
        ae_title="RESEARCH",
        ext_neg=[build_role(StorageCommitmentPushModel, scu_role=True, scp_role=False)],
    )
    assert made.is_established
    listen(made)
    wanted = N_ACTION()
    wanted.MessageID, wanted.ActionTypeID = 1, 1
    wanted.RequestedSOPClassUID, wanted.RequestedSOPInstanceUID = COMMITMENT, COMMITMENT_INSTANCE
    wanted.ActionInformation = BytesIO(written(asking(*INSTANCES), lab.IMPLICIT))
    made.dimse.send_msg(wanted, made.accepted_contexts[0].context_id)
    assert answer(made).Status == 0
    made.release()
    assert desk.asked[0].instances == INSTANCES
