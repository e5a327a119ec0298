"""Findings as ORU^R01: valid by an independent library, and nothing in a name breaks out of its field."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hl7apy.parser import parse_message
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.node.report.finding_lab import BANNER, DIGEST, EMPTY, RECORD

from wardround.node.records.hl7.er7 import parse
from wardround.node.report.oru import Addressing, message_of
from wardround.node.report.record import Record

TO = Addressing("guys", "RIS|X", "Guy's & St Thomas'", "GSTT")
AT = datetime(2026, 11, 30, 12, 5, tzinfo=UTC)


def message(record: Record) -> bytes:
    return message_of(record, TO, control_id="WR17", at=AT)


@pytest.mark.parametrize("record", [RECORD, EMPTY])
def test_a_message_is_valid_by_the_standards_own_structure(record: Record) -> None:
    parsed = parse_message(message(record).decode(), find_groups=True)
    assert parsed.validate()
    assert parsed.msh.msh_9.to_er7() == "ORU^R01^ORU_R01" and parsed.msh.msh_10.to_er7() == "WR17"


def test_it_says_what_was_found_with_units_and_whose_it_is() -> None:
    read = parse(message(RECORD))
    pid, obr, note = read.first("PID"), read.first("OBR"), read.first("NTE")
    assert pid is not None and obr is not None and note is not None
    assert (pid[3][1], pid[3][4]) == ("943 476|5919", "NHS^Trust")
    assert (pid[5][1], pid[5][2], pid[7][1], pid[8][1]) == ("O'Brien & Söhne", "Ana~María", "19620229", "F")
    assert (obr[25][1], note[3][1], obr[3][1]) == ("P", BANNER, "A1")
    observed = [(one[2][1], one[3][2], one[5][1], one[6][1], one[6][3], one[11][1]) for one in read.every("OBX")]
    assert ("NM", "Volume", "1234.57", "mm3", "UCUM", "P") in observed
    assert ("NM", "Long axis", "12.3", "mm", "UCUM", "P") in observed
    assert observed[0][:3] == ("TX", "Finding", "tumour marked, 1.2 ml")
    assert any(DIGEST in one[2] for one in observed)


@settings(max_examples=80)
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_breaks_out_of_its_field(name: str, number: str) -> None:
    plain = name.replace("^", "").encode("utf-8", "ignore").decode()
    given_number = number.encode("utf-8", "ignore").decode()
    record = replace(RECORD, subject=replace(RECORD.subject, name=plain, patient_id=given_number))
    read = parse(message(record))
    assert [one.name for one in read.segments] == [one.name for one in parse(message(RECORD)).segments]
    pid = read.first("PID")
    assert pid is not None
    if given_number:
        assert pid[3][1] == given_number.strip()
    assert pid[5][1] == plain.strip()
