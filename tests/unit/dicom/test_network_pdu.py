"""PDUs of the upper layer, beside another library's: what it writes we read, and what we write it reads."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import build_context

from wardround.dicom.network_pdu import (
    Fault,
    InvalidPdu,
    ProposedContext,
    Roles,
    abort,
    associate_rj,
    data_pdus,
    read_request,
)

MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def test_a_request_of_another_library_is_read_whole() -> None:
    wanted = A_ASSOCIATE()
    wanted.application_context_name = "1.2.840.10008.3.1.1.1"
    wanted.called_ae_title, wanted.calling_ae_title = "RESEARCH", "SENDER"
    contexts = [build_context(MR, [EXPLICIT, IMPLICIT]), build_context(CT, IMPLICIT)]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    wanted.presentation_context_definition_list = contexts
    length, name, window, role = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        AsynchronousOperationsWindowNegotiation(),
        SCP_SCU_RoleSelectionNegotiation(),
    )
    length.maximum_length_received = 77777
    name.implementation_class_uid = "1.2.3"
    window.maximum_number_operations_invoked = 5
    role.sop_class_uid, role.scu_role, role.scp_role = MR, False, True
    wanted.user_information = [length, name, window, role]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(wanted)

    read = read_request(pdu.encode()[6:])
    assert (read.called_ae, read.calling_ae, read.version) == ("RESEARCH", "SENDER", 1)
    assert read.contexts == (ProposedContext(1, MR, (EXPLICIT, IMPLICIT)), ProposedContext(3, CT, (IMPLICIT,)))
    assert (read.maximum_length, read.asks_window) == (77777, True)
    assert read.roles == {MR: Roles(scu=False, scp=True)}


@given(st.binary(max_size=300), st.integers(0, 300))
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused(data: bytes, zeros: int) -> None:
    try:
        read = read_request(bytes(zeros) + data)
    except InvalidPdu:
        return
    assert read.contexts
    assert len(read.titles) == 64


@example(bytes(1200), 600, False)
@given(st.binary(max_size=500), st.one_of(st.just(0), st.integers(7, 600)), st.booleans())
def test_data_comes_out_whole_in_pieces_that_fit(data: bytes, maximum: int, command: bool) -> None:
    whole = b""
    pdus = list(data_pdus(5, int(command), data, maximum))
    for number, pdu in enumerate(pdus, start=1):
        assert not maximum or len(pdu) - 6 <= maximum
        read = P_DATA_TF()
        read.decode(pdu)
        [item] = read.presentation_data_value_items
        assert item.presentation_context_id == 5
        header = item.presentation_data_value[0]
        assert (header & 1, bool(header & 2)) == (int(command), number == len(pdus))
        whole += item.presentation_data_value[1:]
    assert whole == data


def test_refusals_and_aborts_are_understood() -> None:
    rejection, end = A_ASSOCIATE_RJ(), A_ABORT_RQ()
    rejection.decode(associate_rj(2, 3, 2))
    assert rejection.reason_str == "Local limit exceeded"
    end.decode(abort(2, Fault.INVALID_PARAMETER))
    assert (end.source, end.reason_diagnostic) == (2, 6)
