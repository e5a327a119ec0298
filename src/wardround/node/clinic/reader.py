"""What the reading process does: one study in, one result out. It has no way to the network.

Runs in a `compute.worker.Worker`. The model stays loaded between studies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.compute import serving
from wardround.compute.jail import Bounds, JailEnded, JailUnavailable
from wardround.compute.program import Program
from wardround.compute.serving import Reads, reader_of
from wardround.contracts.stage import STAGES
from wardround.dicom.finding import Finding, MadeBy, coded
from wardround.dicom.source_header import made_uid
from wardround.dicom.source_series import SourceSeries
from wardround.dicom.volume import VolumeRefused
from wardround.foundation.clock import now
from wardround.learning.arrays import Arrays
from wardround.learning.case import CaseRefused
from wardround.learning.statistics.embedding import looked_at
from wardround.node.clinic.definition import Before, Definition, Output
from wardround.node.clinic.examination import NO_SERIES, examine
from wardround.node.clinic.given import Beside, Given, given, given_before
from wardround.node.clinic.own_layers import with_own
from wardround.node.clinic.prior import PriorFound
from wardround.node.receive.arrival import Unreadable
from wardround.node.report.document import Document, OutputKind
from wardround.node.report.making import reports_of
from wardround.node.training.own import SealedArrays

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
"""Segmentation Storage (PS3.4 Table B.5-1)."""
_LOADED = 8
"""So many models lie in memory together; to load another one anew costs seconds."""
_SPARE, _SHORTEST = 5.0, 1.0


class OutOfScope(RuntimeError):
    """A check of the pathway fails, so that the model isn't given the study: `code` of the check, and `words`."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code, words)
        self.code, self.words = code, words


class StudyUnreadable(RuntimeError):
    """The study isn't one that the model can read; `code` says why, without an identifier."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Reading:
    """A result: the Part 10 bytes of a SEG and its UID, the volume of what was marked in ml, and the image's contrast
    and `image` (`tables.WorklistLine`). A model that outlines nothing gives none of the first three, and `told`: one
    number. `before`: what an earlier study came to that was read beside it."""

    segmentation: bytes | None
    sop_instance_uid: str | None
    volume_ml: float | None
    contrast: float | None = None
    reports: tuple[Document, ...] = ()
    told: float | None = None
    image: tuple[float, ...] | None = None
    before: Before | None = None

    @property
    def documents(self) -> tuple[Document, ...]:
        """All that the study gave, the segmentation first."""
        if self.segmentation is None or self.sop_instance_uid is None:
            return self.reports
        return (Document(OutputKind.SEGMENTATION, self.segmentation, SEG_CLASS, self.sop_instance_uid), *self.reports)

    @property
    def value(self) -> float:
        """What it comes to in one number: what was told, or ml."""
        return self.told if self.told is not None else self.volume_ml or 0.0


@lru_cache(maxsize=_LOADED)
def _loaded(package: Path, threads: int, own: SealedArrays | None) -> tuple[Reads, Arrays]:
    # The node's own process imports this module too, for its functions' names; torch is for the worker alone.
    learner, arrays = reader_of(package, Bounds(threads=threads))
    used = with_own(package, arrays, own)
    learner.serve(used)
    return learner, used


def _model(package: Path, bounds: Bounds, own: SealedArrays | None) -> tuple[Reads, Arrays]:
    """A network is loaded once, whatever its pathways bound; a program is bounded as each pathway says."""
    if own is not None and not own.there:
        _loaded.cache_clear()  # so that no memory of them is read with
    learner, arrays = _loaded(package, bounds.threads, own)
    return (Program(package, learner.bundle, bounds) if isinstance(learner, Program) else learner), arrays


def _bounds(definition: Definition, threads: int) -> Bounds:
    """What a reading by a program may take; its time is up just before the reading's own, so that it is told why."""
    runtime = definition.runtime
    seconds = max(_SHORTEST, runtime.seconds - _SPARE)
    return Bounds(memory_bytes=int(runtime.memory_gb * 1024**3), seconds=seconds, threads=threads)


def prepare(package: Path, threads: int, own: SealedArrays | None = None) -> None:
    """Make ahead what the process that reads would have to make for this model, in the process that isn't that one.
    Nothing is kept of layers of this hospital's own."""
    if own is None:
        serving.prepare(package, threads)


def warm(package: Path, threads: int, own: SealedArrays | None = None) -> None:
    """Load the model, and what writes its results, before the first study arrives."""
    from wardround.dicom import capture, measurement_report, measuring, segmentation  # noqa: F401 - to have them loaded

    _loaded(package, threads, own)


def read(
    package: Path,
    model: str,
    stage: str,
    files: Sequence[Path],
    threads: int,
    definition: Definition,
    own: SealedArrays | None = None,
    prior: PriorFound | None = None,
) -> Reading:
    """Read a study: the series that the pathway reads, once it has passed the pathway's checks; `own` is what this
    hospital lays over the model, `prior` the earlier study that is read beside it.

    Raises:
        OutOfScope: no series is one that the pathway reads, a check fails, or the pathway reads nothing without an
            earlier study and there is none that will do; the model wasn't given the study.
        StudyUnreadable: the series is no volume, or the model can't take it.
        NotAllowed: what is laid over the model was removed.
    """
    try:
        examination = examine(definition, files)
        failed, series = examination.failed, examination.source
        if series is None or failed is not None:
            failed = failed or NO_SERIES
            raise OutOfScope(failed.code, failed.words)
        volume = series.volume
        learner, arrays = _model(package, _bounds(definition, threads), own)
        beside = given_before(learner, arrays, definition, prior)
        if beside is None and definition.prior is not None and definition.prior.missing == "leave":
            raise OutOfScope("no-prior", f"no-prior: none that will do, wanted {definition.prior.in_words()}")
        found = given(learner, arrays, definition.output, volume)
    except VolumeRefused as error:
        raise StudyUnreadable(str(error.reason_code.value).replace("_", "-")) from None
    except Unreadable as error:
        raise StudyUnreadable(error.reason_code) from None
    except CaseRefused as error:
        raise StudyUnreadable(error.reason) from None
    except (JailUnavailable, JailEnded) as error:
        raise StudyUnreadable(error.code) from None
    finding = _finding(learner, model, stage, definition, found, beside)
    return _reading(series, definition.output, found, finding, None if beside is None else beside.before)


def _reading(series: SourceSeries, output: Output, found: Given, finding: Finding, before: Before | None) -> Reading:
    from wardround.dicom.segmentation import write_segmentation

    volume = series.volume
    seen, contrast = looked_at(volume.array), _contrast(volume.array)
    if found.mask is None:
        reports = reports_of(series, None, None, finding, output.summary)
        return Reading(None, None, None, contrast, reports, found.value, seen, before)
    uid, by = made_uid(), finding.made_by
    segmentation = write_segmentation(
        series,
        found.mask,
        model_name=by.name,
        model_version=by.version,
        model_digest=by.digest,
        banner=finding.banner,
        label=output.of.capitalize(),
        coded=coded(output.of),
        sop_instance_uid=uid,
        at=finding.at,
    )
    reports = reports_of(series, found.mask, segmentation, finding, output.summary)
    return Reading(segmentation, uid, found.value, contrast, reports, image=seen, before=before)


def _finding(
    learner: Reads, model: str, stage: str, definition: Definition, found: Given, beside: Beside | None
) -> Finding:
    bundle, output = learner.bundle, definition.output
    made_by = MadeBy(bundle.name, bundle.version, model, f"Wardround {version('wardround')}; {learner.runtime}")
    before, earlier = (None, None) if beside is None else (beside.before, beside.earlier)
    words, banner = output.in_words(found.value, before), STAGES[stage].banner
    return Finding(output.of, words, found.measurements, made_by, now(), banner, found.marked, earlier)


def _contrast(image: NDArray[Any]) -> float | None:
    # Slice by slice: a CT as float64 takes a gigabyte, and so does each step over the whole of it.
    mean = float(image.mean(dtype=np.float64))
    count, total, squares = 0, 0.0, 0.0
    beyond = np.empty(image.shape[1:], np.float64)
    for slice_ in image:
        np.subtract(slice_, mean, out=beyond)
        np.maximum(beyond, 0.0, out=beyond)
        count += int(np.count_nonzero(beyond))
        total, squares = total + float(beyond.sum()), squares + float(np.vdot(beyond, beyond))
    if not count or mean + total / count <= 0:
        return None
    return math.sqrt(max(squares / count - (total / count) ** 2, 0.0)) / (mean + total / count)
