"""One thing that a reading gives out, as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class OutputKind(StrEnum):
    SEGMENTATION = "seg"
    MEASUREMENTS = "sr"
    CAPTURE = "capture"
    SUMMARY = "pdf"
    FHIR = "fhir"
    HL7 = "hl7"


DICOM = frozenset({OutputKind.SEGMENTATION, OutputKind.MEASUREMENTS, OutputKind.CAPTURE, OutputKind.SUMMARY})


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes of an output, and which DICOM object it is: a Part 10 file with its SOP Class and Instance UID, or the
    record of a finding (`record`), of which a FHIR bundle or an HL7 message is made when it is sent, with neither."""

    kind: OutputKind
    data: bytes = field(repr=False)
    sop_class: str = ""
    sop_instance: str = field(default="", repr=False)
