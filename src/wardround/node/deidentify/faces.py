"""Series that may show a face, under a profile that removes faces: done whole, or not at all.

A face is removed from a volume, so nothing that may show one is done before its study is complete, and nothing of it
reaches the object store before all of its series is without its face. What came late, or can't be made a volume, is
refused; where the header doesn't say whether there is a head at all, a person is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from wardround.dicom.errors import Refused
from wardround.dicom.pixels_defacing import SLICES, HeadReason, HeadUnclear, defaced, may_show_a_face, names_a_head
from wardround.dicom.pixels_facts import PixelFacts, facts_of
from wardround.dicom.pixels_rules import ScreeningReason
from wardround.dicom.pixels_screening import Screening, Verdict
from wardround.dicom.statement import Deidentified
from wardround.dicom.volume import VolumeRefused
from wardround.node.deidentify.work import (
    BREAKS,
    FACE,
    FAILED,
    LATE,
    Bench,
    End,
    Job,
    Looked,
    SeriesJob,
    Together,
    Unfit,
    Unsure,
)
from wardround.node.optout.identifier import PatientIds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Done:
    """A slice that still has its face, in this process's memory alone; its original isn't held."""

    job: Job
    facts: PixelFacts
    blackened: bool
    one: Deidentified
    patient: PatientIds


def alone(looked: Looked) -> str | None:
    """Why an object isn't done by itself, as the code of a reason; None if it shows no face."""
    if looked.job.faceless or not may_show_a_face(looked.facts):
        return None
    return LATE if looked.facts.sop_class in SLICES else FACE + HeadReason.MULTI_FRAME.value


def series_done(bench: Bench, series: SeriesJob) -> Together:
    """Do a series: each object by itself if none shows a face or a person said so, else all of them together."""
    seen = [job for job in series.jobs if job.faceless]
    rest = [job for job in series.jobs if not job.faceless]
    if series.late or not any(_may_show_a_face(bench, job) for job in rest):
        return Together(series.id, tuple(bench.one(job) for job in series.jobs))
    ends: list[End] = [bench.one(job) for job in seen]
    slices: list[_Done] = []
    for job in rest:
        end = bench.guarded(job, partial(_done, bench, job))
        if isinstance(end, _Done):
            slices.append(end)
        else:
            ends.append(end)
    # What waits for a person is a slice of the same volume: the others wait with it.
    if slices and not any(isinstance(end, Unsure) for end in ends):
        ends += _without_face(bench, slices)
    return Together(series.id, tuple(ends))


def _may_show_a_face(bench: Bench, job: Job) -> bool:
    facts = bench.guarded(job, lambda: facts_of(bench.read(job)))
    return isinstance(facts, PixelFacts) and may_show_a_face(facts)


def _done(bench: Bench, job: Job) -> _Done | Unsure:
    looked = bench.look(job)
    if isinstance(looked, Unsure):
        return looked
    one = bench.deidentified(looked)
    return _Done(job, looked.facts, bool(looked.boxes), one, looked.patient(one.identity))


def _without_face(bench: Bench, slices: Sequence[_Done]) -> list[End]:
    try:
        ones = defaced([each.one for each in slices])
    except (HeadUnclear, VolumeRefused) as unclear:
        return _unclear(slices, unclear.reason_code.replace("_", "-"))
    except Refused as refused:
        return [Unfit(each.job.id, refused.reason_code) for each in slices]
    except BREAKS as damage:
        log.error("a face could not be removed: %s", type(damage).__name__)
        return [Unfit(each.job.id, FAILED) for each in slices]
    return [
        bench.guarded(each.job, partial(bench.put, each.job.id, one, each.patient))
        for each, one in zip(slices, ones, strict=True)
    ]


def _unclear(slices: Sequence[_Done], reason: str) -> list[End]:
    """A person is asked about a series that may be no head, unless its pixels were changed: that a person who lets
    them pass as they are would undo."""
    if any(names_a_head(each.facts) or each.blackened for each in slices):
        return [Unfit(each.job.id, FACE + reason) for each in slices]
    screening = Screening(Verdict.UNCERTAIN, (ScreeningReason.FACE_UNCLEAR.value,))
    return [Unsure(each.job.id, screening, each.facts) for each in slices]
