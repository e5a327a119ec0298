"""What every object that a reading gives has in common: its codes, when it was made, and its bytes."""

from __future__ import annotations

import io
from datetime import datetime

from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset

from wardround.dicom.finding import Concept
from wardround.dicom.source_header import UTF8

ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")


def code(concept: Concept) -> CodedConcept:
    return CodedConcept(concept.value, concept.scheme, concept.meaning)


def part10(written: Dataset, at: datetime | None) -> bytes:
    """The bytes of an object whose texts are Unicode. at: when it was made; None leaves the dates that it has."""
    written.SpecificCharacterSet = UTF8
    if at is not None:
        for name in ("InstanceCreation", "Series", "Content"):
            setattr(written, f"{name}Date", at.strftime("%Y%m%d"))
            setattr(written, f"{name}Time", at.strftime("%H%M%S"))
    file = io.BytesIO()
    written.save_as(file, enforce_file_format=True)
    return file.getvalue()
