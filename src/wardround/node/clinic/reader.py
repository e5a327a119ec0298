"""What the reading process does: one study in, one DICOM SEG out. It has no way to the network.

Runs in a `compute.worker.Worker`. The model stays loaded between studies.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from wardround.contracts.stage import STAGES
from wardround.dicom.volume import VolumeRefused, read_volume
from wardround.learning.arrays import Arrays
from wardround.learning.bundle import load_bundle
from wardround.learning.case import Case, CaseRefused
from wardround.node.clinic.own_layers import with_own
from wardround.node.report.document import Document, OutputKind

if TYPE_CHECKING:
    from wardround.learning.learner import Learner

MODALITY = "MR"
SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
"""Segmentation Storage (PS3.4 Table B.5-1)."""


class StudyUnreadable(RuntimeError):
    """The study isn't one that the model can read; `code` says why, without an identifier."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Reading:
    """A result: the Part 10 bytes of a SEG, its UID, the volume of what was marked, and the image's contrast
    (`tables.WorklistLine`)."""

    segmentation: bytes
    sop_instance_uid: str
    volume_ml: float
    contrast: float | None = None
    reports: tuple[Document, ...] = ()

    @property
    def documents(self) -> tuple[Document, ...]:
        """All that the study gave, the segmentation first."""
        return (Document(OutputKind.SEGMENTATION, self.segmentation, SEG_CLASS, self.sop_instance_uid), *self.reports)

    @property
    def finding(self) -> str:
        return f"lesion marked, {self.volume_ml:.1f} ml" if self.volume_ml > 0 else "nothing marked"


@lru_cache(maxsize=2)
def _model(package: Path, threads: int) -> tuple[Learner[Any, Any], Arrays]:
    # The node's own process imports this module too, for its functions' names; torch is for the worker alone.
    from wardround.learning.kinds import learner_of

    bundle, arrays = load_bundle(package)
    return learner_of(bundle, threads=threads), with_own(package, arrays)


def warm(package: Path, threads: int) -> None:
    """Load the model before the first study arrives."""
    _model(package, threads)


def read(package: Path, model: str, stage: str, files: Sequence[Path], threads: int) -> Reading:
    """Read a study: its MR series with the most images that makes a volume.

    Raises:
        StudyUnreadable: no such series, or the model can't take it.
    """
    from wardround.dicom.segmentation import write_segmentation

    segmenter, arrays = _model(package, threads)
    series: dict[str, list[pydicom.Dataset]] = defaultdict(list)
    for file in files:
        dataset = pydicom.dcmread(file)
        if str(dataset.get("Modality", "")) == MODALITY:
            series[str(dataset.SeriesInstanceUID)].append(dataset)
    if not series:
        raise StudyUnreadable("no-mr-series")
    slices = max(series.values(), key=len)
    try:
        volume = read_volume(slices)
        mask = segmenter.predict(arrays, Case("", volume.array, None, volume.spacing))
    except VolumeRefused as error:
        raise StudyUnreadable(str(error.reason_code.value).replace("_", "-")) from None
    except CaseRefused as error:
        raise StudyUnreadable(error.reason) from None
    segmentation = write_segmentation(
        slices,
        mask,
        model_name=segmenter.bundle.name,
        model_version=segmenter.bundle.version,
        model_digest=model,
        banner=STAGES[stage].banner,
    )
    uid = str(pydicom.dcmread(BytesIO(segmentation), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
    millilitres = float(np.count_nonzero(mask)) * math.prod(volume.spacing) / 1000
    return Reading(segmentation, uid, millilitres, _contrast(volume.array))


def _contrast(image: NDArray[Any]) -> float | None:
    above = np.asarray(image, np.float64)
    above = above[above > above.mean()]
    return float(above.std() / above.mean()) if above.size and above.mean() > 0 else None
