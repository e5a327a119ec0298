"""What is done with one received object before anything of it is kept: looked at, de-identified, described.

It runs in processes of its own (`wardround.node.deidentify.crew`), so it imports nothing of the node but the words of
this exchange; no database, no network.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from wardround.dicom.damage import DAMAGE
from wardround.dicom.errors import Refused
from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_facts import PixelFacts, facts_of, read_elements
from wardround.dicom.pixels_redaction import redacted
from wardround.dicom.pixels_screening import Screener, Screening, Verdict
from wardround.dicom.statement import Deidentified, Identity, PixelWork
from wardround.node.deidentify.staging import aside_name
from wardround.node.deidentify.subject import patient_ids
from wardround.node.enclave.description import Description, Undescribed, describe
from wardround.node.optout.identifier import PatientIds

log = logging.getLogger(__name__)

_PASS = (Verdict.CLEAR, Verdict.REDACT)
FILE_MISSING = "file-missing"
_BREAKS: tuple[type[Exception], ...] = (*DAMAGE, MemoryError, zlib.error)
FAILED = "deidentification-failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One received object: the id of its row and its file in quarantine. `blackened` is a person's earlier decision
    about its pixels: these boxes, or none; None where nobody was asked."""

    id: int
    file: str
    blackened: tuple[Box, ...] | None = None


@dataclass(frozen=True, slots=True)
class Clean:
    """De-identified: `size` bytes lie in `aside`, not yet flushed and without their name `digest`; `one` holds none of
    them. `patient` is whom the original names."""

    job: int
    one: Deidentified
    description: Description
    digest: str
    size: int
    aside: Path
    patient: PatientIds


@dataclass(frozen=True, slots=True)
class Unfit:
    """It can't be de-identified; `reason` is the code for its row."""

    job: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """Its pixels didn't pass the screening."""

    job: int
    screening: Screening = field(repr=False)
    facts: PixelFacts = field(repr=False)


Outcome = Clean | Unfit | Unsure


@dataclass(frozen=True, slots=True)
class Bench:
    """Does jobs, one after the other.

    Args:
        deidentify, identity: those of a `Deidentifier`, which raise `Refused`.
        screener: looks at pixels first; None lets every picture pass that the de-identifier takes.
        quarantine: where the originals are.
        aside: where clean objects are put; on the file system of the object store.
    """

    deidentify: Callable[[bytes, PixelWork | None], Deidentified]
    identity: Callable[[bytes], Identity]
    screener: Screener | None
    quarantine: Path
    aside: Path

    def do(self, job: Job) -> Outcome:
        try:
            data = (self.quarantine / job.file).read_bytes()
        except FileNotFoundError:
            return Unfit(job.id, FILE_MISSING)
        try:
            return self._clean(job, data)
        except Refused as refused:
            return Unfit(job.id, refused.reason_code)
        except Undescribed as undescribed:
            return Unfit(job.id, undescribed.reason_code)
        except _BREAKS as damage:
            # Fails closed: what breaks the de-identifier stays in quarantine and holds nothing else up.
            log.error("an instance could not be de-identified: %s", type(damage).__name__)
            return Unfit(job.id, FAILED)

    def _clean(self, job: Job, data: bytes) -> Outcome:
        elements, transfer_syntax = read_elements(data)
        boxes, work = job.blackened or (), None
        if job.blackened is not None:
            work = PixelWork(screened=True, cleaned=bool(boxes), approved=True)
        elif self.screener is not None:
            facts = facts_of(elements, transfer_syntax)
            screening = self.screener.by_header(facts)
            if screening is None:
                screening = self.screener.by_reading(data, facts, self.identity(data))
            if screening.verdict not in _PASS:
                return Unsure(job.id, screening, facts)
            boxes = screening.boxes if screening.verdict is Verdict.REDACT else ()
            work = PixelWork(screened=True, cleaned=bool(boxes))
        one = redacted(self.deidentify(data, work), boxes)
        description = describe(one)
        aside = self.aside / aside_name()
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(one.data)
        return Clean(
            job=job.id,
            one=replace(one, data=b""),
            description=description,
            digest=sha256(one.data).hexdigest(),
            size=len(one.data),
            aside=aside,
            patient=patient_ids(elements, one.identity),
        )
