"""What a radiologist made of a model's outline, kept as what a person drew; runs in the viewer's process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from wardround.dicom.finding import coded
from wardround.dicom.segmentation import read_segmentation, write_annotation
from wardround.dicom.segmentation_reading import SegmentationRefused
from wardround.dicom.volume_refusal import VolumeRefused
from wardround.foundation.errors import WardroundError
from wardround.node.annotate.grid import Grid, GridRefused, laid_on
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file
from wardround.node.clinic.definition import Definition
from wardround.node.clinic.examination import examine
from wardround.node.receive.arrival import Unreadable


class NotCorrected(WardroundError):
    """A drawing that can't stand for an outline; the text is for whoever drew it."""

    code = "not-corrected"


@dataclass(frozen=True, slots=True)
class Correction:
    """A segmentation, Part 10, whose segment is SEMIAUTOMATIC, and Dice between it and the model's outline, 0 to 1."""

    segmentation: bytes = field(repr=False)
    overlap: float


def correct(
    definition: Definition, files: Sequence[Path], outline: Path, drawn: bytes, *, assisted_by: str, at: datetime
) -> Correction:
    """Lay a drawing over the series that the pathway reads.

    Args:
        files: of the study as the clinic has it.
        outline: the model's, a SEG.
        drawn: a gzipped NIfTI-1 file on the grid of that series.
        assisted_by: the model.

    Raises:
        NotCorrected: it doesn't lie on the series, marks nothing, or changes nothing.
    """
    from wardround.learning.metrics import dice

    try:
        series = examine(definition, files).source
        if series is None:
            raise NotCorrected("the pathway reads no series of this study any more")
        image = series.volume
        mask = laid_on(read_file(drawn, f"drawn{NIFTI_GZ}"), Grid(image.array, image.affine)) > 0
        first = read_segmentation(outline, image)
    except GridRefused as refused:
        raise NotCorrected(str(refused)) from None
    except (SegmentationRefused, VolumeRefused, Unreadable, OSError):
        raise NotCorrected("the model's outline can't be laid over the study any more") from None
    if not mask.any():
        raise NotCorrected("nothing is drawn; where there is nothing, reject the result")
    if np.array_equal(mask, first):
        raise NotCorrected("the drawing is the model's outline as it was; agree with it, or change it")
    of = definition.output.of.capitalize()
    segmentation = write_annotation(
        series,
        mask,
        assisted_by=assisted_by,
        label=of,
        coded=coded(definition.output.of),
        series_description=f"{of}, corrected",
        at=at,
    )
    return Correction(segmentation, float(dice(first, mask)))
