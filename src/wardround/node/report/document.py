"""One thing that a reading gives out, as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class OutputKind(StrEnum):
    SEGMENTATION = "seg"
    MEASUREMENTS = "sr"
    CAPTURE = "capture"
    FHIR = "fhir"
    HL7 = "hl7"


DICOM = frozenset({OutputKind.SEGMENTATION, OutputKind.MEASUREMENTS, OutputKind.CAPTURE})
SUFFIX = {OutputKind.FHIR: "json", OutputKind.HL7: "hl7"}
"""Of a file that is no Part 10 object."""


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes of an output, and which DICOM object it is: a Part 10 file with its SOP Class and Instance UID, or a
    FHIR bundle or an HL7 message, both in UTF-8 and with neither UID."""

    kind: OutputKind
    data: bytes = field(repr=False)
    sop_class: str = ""
    sop_instance: str = field(default="", repr=False)
