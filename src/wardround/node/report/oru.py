"""A finding as an HL7 v2.5.1 message: ORU^R01, unsolicited observation.

Source: HL7 2.5.1, 7.3.1 (ORU), 3.4.2 (PID), 7.4.1 (OBR), 7.4.2 (OBX), 2.7 (escapes), tables 0085, 0123, 0396.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wardround.dicom.finding import Concept
from wardround.node.records.hl7.er7 import Delimiters
from wardround.node.report.record import Record

_MARKS = Delimiters("|", "^", "~", "\\", "&")
_SEXES = frozenset({"M", "F", "O"})
_LONGEST_NAME = 194
_PRELIMINARY = "P"
"""Of OBR-25 (table 0123) and OBX-11 (table 0085): a person has the last word."""


@dataclass(frozen=True, slots=True)
class Addressing:
    """MSH-4 to MSH-6: this site, and who it is for. assigner: of patient numbers whose image names no issuer."""

    site: str
    application: str = ""
    facility: str = ""
    assigner: str = ""


def message_of(record: Record, to: Addressing, *, control_id: str, at: datetime) -> bytes:
    """The message, in UTF-8, its segments ended by carriage returns.

    Args:
        control_id: MSH-10, at most 20 characters; the same whenever the same finding is sent.
        at: when it is sent.
    """
    subject, finding = record.subject, record.finding
    by = finding.made_by
    read = _moment(finding.at)
    taken = subject.study_date + subject.study_time.split(".")[0] if subject.study_date else ""
    # Both are required; of somebody whom the image doesn't name they say that nothing is known.
    named = "^".join(_text(part) for part in subject.name[:_LONGEST_NAME].split("^")[:5]) or "^^^^^^U"
    known = f"{_text(subject.patient_id)}^^^{_text(subject.issuer or to.assigner)}^PI"
    number = known if subject.patient_id else "UNKNOWN^^^^U"
    # Who can't identify the patient by number has the study's own.
    filler = f"{_text(subject.accession or subject.study)}^WARDROUND"
    segments = [
        rf"MSH|^~\&|WARDROUND|{_text(to.site)}|{_text(to.application)}|{_text(to.facility)}|{_moment(at)}||"
        f"ORU^R01^ORU_R01|{_text(control_id)}|P|2.5.1|||AL|NE||UNICODE UTF-8",
        f"PID|1||{number}||{named}||{subject.birth_date}|{subject.sex if subject.sex in _SEXES else ''}",
        f"OBR|1|{_text(subject.accession)}|{filler}|18748-4^Diagnostic imaging study^LN|||{taken}|||||||||||||||"
        f"{read}||RAD|{_PRELIMINARY}",
    ]
    if finding.banner:
        segments.append(f"NTE|1||{_text(finding.banner)}")
    device = f"{_text(by.digest[:32])}^{_text(f'{by.name} {by.version}'[:60])}"
    values = [("TX", "FINDING^Finding^99WARDROUND", _text(finding.words), "")]
    values += [
        ("NM", _concept(one.concept), f"{one.value:.6g}", f"{_text(one.unit.value)}^{_text(one.unit.meaning)}^UCUM")
        for one in finding.measurements
    ]
    values += [
        ("ST", "MODEL^Model version^99WARDROUND", _text(f"{by.name} {by.version} {by.digest}"), ""),
        ("ST", "SOFTWARE^Software^99WARDROUND", _text(by.software), ""),
        *(
            ("RP", f"{_text(one.modality)}^DICOM object^99WARDROUND", f"{one.sop_instance}^WARDROUND^AP^DICOM", "")
            for one in record.made
        ),
    ]
    for place, (kind, what, value, unit) in enumerate(values, start=1):
        segments.append(f"OBX|{place}|{kind}|{what}|1|{value}|{unit}|||||{_PRELIMINARY}|||{read}||||{device}")
    return ("\r".join(segments) + "\r").encode()


def _concept(concept: Concept) -> str:
    return f"{_text(concept.value)}^{_text(concept.meaning)}^{concept.scheme}"


def _text(text: str) -> str:
    return _MARKS.escape_text(text)


def _moment(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S%z")
