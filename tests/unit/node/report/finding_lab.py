"""Records of findings for tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from wardround.dicom.finding import (
    CUBIC_MM,
    LONG_AXIS,
    MM,
    VOLUME,
    Finding,
    MadeBy,
    Measurement,
)
from wardround.node.report.record import Made, Record, Subject

DIGEST = "ab" * 32
BANNER = "TRIAGE: not for diagnostic use"
BY = MadeBy("brain-mri-glioma", "0.1.0", DIGEST, "Wardround 0.1.0")
SIZES = (Measurement(VOLUME, 1234.56789, CUBIC_MM), Measurement(LONG_AXIS, 12.3, MM))
FINDING = Finding("tumour", "tumour marked, 1.2 ml", SIZES, BY, datetime(2026, 11, 30, 12, tzinfo=UTC), BANNER, True)
SUBJECT = Subject(
    patient_id="943 476|5919",
    issuer="NHS^Trust",
    name="O'Brien & Söhne^Ana~María^^Dr",
    birth_date="19620229",
    sex="F",
    accession="A1",
    study="1.2.3",
    study_date="20261130",
    study_time="101500.123",
    study_description="MR brain \\ contrast",
    series="1.2.3.4",
    modality="MR",
    images=155,
)
MADE = (
    Made("SEG", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.3.5.1", "1.2.3.5"),
    Made("SR", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.3.6.1", "1.2.3.6"),
    Made("OT", "1.2.840.10008.5.1.4.1.1.7", "1.2.3.7.1", "1.2.3.7"),
)
RECORD = Record(SUBJECT, replace(FINDING), MADE)
NOBODY = replace(
    SUBJECT,
    patient_id="",
    issuer="",
    name="",
    birth_date="",
    sex="",
    accession="",
    study_date="",
    study_time="",
    study_description="",
)
EMPTY = Record(NOBODY, replace(FINDING, banner="", measurements=()), MADE)
"""Of somebody of whom the image says nothing."""
