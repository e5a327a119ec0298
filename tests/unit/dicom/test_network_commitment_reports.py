"""What a PACS says of storage commitment (PS3.4 Table J.3-2) is read exactly, or not at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.dicom.network_classes import BIG_ENDIAN, EXPLICIT, IMPLICIT
from wardround.dicom.network_commitment import (
    ReportUnreadable,
    read_action,
    read_report,
    write_action,
    write_report,
)
from wardround.dicom.network_messages import CommitmentReport

uids = st.lists(st.integers(0, 10**9), min_size=2, max_size=6).map(lambda parts: ".".join(map(str, parts)))
pairs = st.lists(st.tuples(uids, uids), max_size=4).map(tuple)
failures = st.lists(st.tuples(uids, uids, st.integers(0, 0xFFFF)), max_size=4).map(tuple)
syntaxes = st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN])


@given(uids, pairs, failures, syntaxes)
def test_what_was_written_is_read(transaction: str, done: tuple, failed: tuple, syntax: str) -> None:
    report = CommitmentReport(transaction, done, failed)
    assert read_report(write_report(report, syntax)[1], syntax) == report


@given(uids, pairs.filter(len), syntaxes)
def test_a_request_says_what_it_is_about(transaction: str, instances: tuple, syntax: str) -> None:
    assert read_action(write_action(transaction, instances, syntax), syntax) == (transaction, instances)


@given(st.binary(max_size=200))
def test_garbage_is_no_report(data: bytes) -> None:
    with contextlib.suppress(ReportUnreadable):
        assert read_report(data, EXPLICIT).transaction_uid


def test_half_a_report_is_none() -> None:
    report = CommitmentReport("1.2.3", (("1.2", "1.2.3.4"),), ())
    data = write_report(report, EXPLICIT)[1]
    for end in range(len(data)):
        with pytest.raises(ReportUnreadable):
            got = read_report(data[:end], EXPLICIT)
            # Cut between two elements it is whole, and promises less.
            if got.done != report.done:
                raise ReportUnreadable
