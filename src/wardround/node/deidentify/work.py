"""What is done with received objects before anything of them is kept: looked at, de-identified, described.

It runs in processes of its own (`wardround.node.deidentify.crew`), so it imports nothing of the node but the words of
this exchange; no database, no network. Series whose faces are removed are done whole (`faces`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from wardround.dicom.damage import DAMAGE
from wardround.dicom.deidentify_original import Original
from wardround.dicom.errors import Refused
from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_facts import PixelFacts, facts_of
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
BREAKS: tuple[type[Exception], ...] = (*DAMAGE, MemoryError)
FAILED = "deidentification-failed"
FACE = "face-"
"""How the reasons begin for which a face can't be removed."""
LATE = "face-late"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """One received object: the id of its row and its file in quarantine. `blackened` is a person's earlier decision
    about its pixels: these boxes, or none; None where nobody was asked. `faceless`: a person saw no face in it."""

    id: int
    file: str
    blackened: tuple[Box, ...] | None = None
    faceless: bool = False


@dataclass(frozen=True, slots=True)
class SeriesJob:
    """All that is left of one series to do, which may show a face; `id` is that of its first object. `late`: others
    of the series are in the enclave already."""

    id: int
    jobs: tuple[Job, ...]
    late: bool = False


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
    """It can't be de-identified; `reason` is the code for its row. Of a `SeriesJob`: all of it."""

    job: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """Its pixels didn't pass the screening, or may show a face."""

    job: int
    screening: Screening = field(repr=False)
    facts: PixelFacts = field(repr=False)


End = Clean | Unfit | Unsure


@dataclass(frozen=True, slots=True)
class Together:
    """What became of a series: the ends of its objects. One that isn't among them is still to be done, with what of
    its series waits for a person."""

    job: int
    ends: tuple[End, ...]


Outcome = End | Together


@dataclass(frozen=True, slots=True)
class Looked:
    """An object that passed the screening, before it is de-identified."""

    job: Job
    original: Original = field(repr=False)
    facts: PixelFacts = field(repr=False)
    boxes: tuple[Box, ...]
    work: PixelWork | None

    def patient(self, identity: Identity) -> PatientIds:
        return patient_ids(self.original.by_tag(), identity)


@dataclass(frozen=True, slots=True)
class Bench:
    """Does jobs, one after the other.

    Args:
        deidentify, identity: those of a `Deidentifier`, which raise `Refused`.
        screener: looks at pixels first; None lets every picture pass that the de-identifier takes.
        quarantine: where the originals are.
        aside: where clean objects are put; on the file system of the object store.
        defaces: nothing that may show a face is done but by its whole series.
    """

    deidentify: Callable[[Original, PixelWork | None], Deidentified]
    identity: Callable[[Original], Identity]
    screener: Screener | None
    quarantine: Path
    aside: Path
    defaces: bool = False

    def do(self, job: Job | SeriesJob) -> Outcome:
        if isinstance(job, SeriesJob):
            from wardround.node.deidentify.faces import series_done

            return series_done(self, job)
        return self.one(job)

    def one(self, job: Job) -> End:
        """Do one object; under a profile that removes faces, one that may show a face isn't done alone."""
        return self.guarded(job, lambda: self._clean(job))

    def guarded(self, job: Job, step: Callable[[], T]) -> T | Unfit:
        """What a step gives for one object; of whatever breaks, the reason."""
        try:
            return step()
        except Refused as refused:
            return Unfit(job.id, refused.reason_code)
        except Undescribed as undescribed:
            return Unfit(job.id, undescribed.reason_code)
        except FileNotFoundError:
            return Unfit(job.id, FILE_MISSING)
        except BREAKS as damage:
            # Fails closed: what breaks the de-identifier stays in quarantine and holds nothing else up.
            log.error("an instance could not be de-identified: %s", type(damage).__name__)
            return Unfit(job.id, FAILED)

    def read(self, job: Job) -> Original:
        """The original. Raises `Refused` and `FileNotFoundError`."""
        return Original.read((self.quarantine / job.file).read_bytes())

    def look(self, job: Job) -> Looked | Unsure:
        """Read an original and screen its pixels.

        Raises:
            Refused: it can't be read.
            FileNotFoundError: it isn't in quarantine.
        """
        original = self.read(job)
        facts = facts_of(original)
        if job.blackened is not None:
            work = PixelWork(screened=True, cleaned=bool(job.blackened), approved=True)
            return Looked(job, original, facts, job.blackened, work)
        if self.screener is None:
            return Looked(job, original, facts, (), None)
        screening = self.screener.by_header(facts)
        if screening is None:
            screening = self.screener.by_reading(original.part10, facts, self.identity(original))
        if screening.verdict not in _PASS:
            return Unsure(job.id, screening, facts)
        boxes = screening.boxes if screening.verdict is Verdict.REDACT else ()
        return Looked(job, original, facts, boxes, PixelWork(screened=True, cleaned=bool(boxes)))

    def deidentified(self, looked: Looked) -> Deidentified:
        """The object without its identity, and blackened where it was to be. Raises `Refused`."""
        return redacted(self.deidentify(looked.original, looked.work), looked.boxes)

    def put(self, job: int, one: Deidentified, patient: PatientIds) -> Clean:
        """Write a clean object aside. Raises `Undescribed`."""
        description = describe(one)
        aside = self.aside / aside_name()
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(one.data)
        return Clean(
            job=job,
            one=replace(one, data=b""),
            description=description,
            digest=sha256(one.data).hexdigest(),
            size=len(one.data),
            aside=aside,
            patient=patient,
        )

    def _clean(self, job: Job) -> End:
        looked = self.look(job)
        if isinstance(looked, Unsure):
            return looked
        if self.defaces:
            from wardround.node.deidentify.faces import alone

            reason = alone(looked)
            if reason is not None:
                return Unfit(job.id, reason)
        one = self.deidentified(looked)
        return self.put(job.id, one, looked.patient(one.identity))
