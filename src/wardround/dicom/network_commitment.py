"""The data sets of Storage Commitment Push (PS3.4 Annex J)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from wardround.dicom.deidentify_elements import Element, ElementReader, ElementWriter, Encoding
from wardround.dicom.errors import Refused
from wardround.dicom.network_classes import BIG_ENDIAN, IMPLICIT
from wardround.dicom.network_dimse import Status
from wardround.dicom.network_messages import CommitmentReport

ACTION_REQUEST = 1
ALL_DONE, SOME_FAILED = 1, 2
"""Event types of the report (J.3.3.1.2)."""
_CLASS, _INSTANCE, _TRANSACTION, _REASON = 0x00081150, 0x00081155, 0x00081195, 0x00081197
_FAILED, _REFERENCED = 0x00081198, 0x00081199


class ActionRefused(Exception):
    """A request that can't be carried out; ``status`` is the answer (PS3.7 10.1.4.1.10)."""

    def __init__(self, status: int) -> None:
        super().__init__(f"0x{status:04X}")
        self.status = status


class ReportUnreadable(Exception):
    """A report that says nothing certain of what it is about."""


def read_action(data: bytes, transfer_syntax: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The transaction UID of a request, and the SOP Class and Instance UIDs that it names (Table J.3-1).

    Raises:
        ActionRefused: the data set can't be read, or something that has to be in it isn't.
    """
    try:
        elements = ElementReader(data, _encoding(transfer_syntax)).data_set(0, len(data))
    except Refused:
        raise ActionRefused(Status.PROCESSING_FAILURE) from None
    values = {element.tag: element.value for element in elements}
    transaction, items = _uid(values.get(_TRANSACTION)), values.get(_REFERENCED)
    if not transaction or not isinstance(items, list) or not items:
        raise ActionRefused(Status.MISSING_ATTRIBUTE)
    instances = []
    for item in items:
        named = {element.tag: element.value for element in item}
        pair = _uid(named.get(_CLASS)), _uid(named.get(_INSTANCE))
        if not all(pair):
            raise ActionRefused(Status.MISSING_ATTRIBUTE)
        instances.append(pair)
    return transaction, tuple(instances)


def write_action(transaction_uid: str, instances: Sequence[tuple[str, str]], transfer_syntax: str) -> bytes:
    """The data set of a request for these pairs of SOP Class and SOP Instance UID (Table J.3-1)."""
    elements = [
        Element(_TRANSACTION, b"UI", _bytes(transaction_uid)),
        Element(_REFERENCED, b"SQ", [_reference(*pair) for pair in instances]),
    ]
    return ElementWriter(_encoding(transfer_syntax)).data_set(elements)


def read_report(data: bytes, transfer_syntax: str) -> CommitmentReport:
    """What a report says (Table J.3-2), whatever its event type: an instance is done only if it is named as done.

    Raises:
        ReportUnreadable: the data set can't be read, or has no transaction UID.
    """
    encoding = _encoding(transfer_syntax)
    try:
        elements = ElementReader(data, encoding).data_set(0, len(data))
    except Refused:
        raise ReportUnreadable from None
    values = {element.tag: element.value for element in elements}
    transaction = _uid(values.get(_TRANSACTION))
    if not transaction:
        raise ReportUnreadable
    number = struct.Struct(">H" if encoding.big_endian else "<H")
    done, failed = [], []
    for tag in (_REFERENCED, _FAILED):
        items = values.get(tag)
        for item in items if isinstance(items, list) else ():
            named = {element.tag: element.value for element in item}
            sop_class, instance, why = _uid(named.get(_CLASS)), _uid(named.get(_INSTANCE)), named.get(_REASON)
            if not instance:
                raise ReportUnreadable
            if tag == _REFERENCED:
                done.append((sop_class, instance))
            else:
                reason = (
                    number.unpack(why)[0] if isinstance(why, bytes) and len(why) == 2 else Status.PROCESSING_FAILURE
                )
                failed.append((sop_class, instance, int(reason)))
    return CommitmentReport(transaction, tuple(done), tuple(failed))


def write_report(report: CommitmentReport, transfer_syntax: str) -> tuple[int, bytes]:
    """The event type and the data set of ``report`` (Table J.3-2)."""
    encoding = _encoding(transfer_syntax)
    number = struct.Struct(">H" if encoding.big_endian else "<H")
    elements = [Element(_TRANSACTION, b"UI", _bytes(report.transaction_uid))]
    if report.failed:
        failed = [
            [*_reference(sop_class, instance), Element(_REASON, b"US", number.pack(reason))]
            for sop_class, instance, reason in report.failed
        ]
        elements.append(Element(_FAILED, b"SQ", failed))
    if report.done:
        elements.append(Element(_REFERENCED, b"SQ", [_reference(*pair) for pair in report.done]))
    return SOME_FAILED if report.failed else ALL_DONE, ElementWriter(encoding).data_set(elements)


def _reference(sop_class: str, instance: str) -> list[Element]:
    return [Element(_CLASS, b"UI", _bytes(sop_class)), Element(_INSTANCE, b"UI", _bytes(instance))]


def _encoding(transfer_syntax: str) -> Encoding:
    return Encoding(implicit=transfer_syntax == IMPLICIT, big_endian=transfer_syntax == BIG_ENDIAN)


def _bytes(uid: str) -> bytes:
    return uid.encode("latin-1", "replace")


def _uid(value: bytes | list[list[Element]] | None) -> str:
    return value.rstrip(b"\0 ").decode("latin-1") if isinstance(value, bytes) else ""
