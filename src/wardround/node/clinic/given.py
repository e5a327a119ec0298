"""What a model gives of one series, of the study that is read and of the earlier one beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wardround.compute.serving import Reads
from wardround.dicom.finding import Earlier, Measurement
from wardround.dicom.source_series import SourceSeries, stands_for
from wardround.dicom.volume import Volume, VolumeRefused
from wardround.learning.arrays import Arrays
from wardround.learning.case import Case, CaseRefused, Labelled
from wardround.node.clinic.checks import checks_of
from wardround.node.clinic.definition import OUTLINES, Before, Definition, Output
from wardround.node.clinic.prior import PriorFound
from wardround.node.report.making import measured, sizes


@dataclass(frozen=True, slots=True)
class Given:
    """value: in one number, ml of an outline. mask: bool (Z, Y, X), None of a model that outlines nothing."""

    value: float
    measurements: tuple[Measurement, ...]
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def marked(self) -> bool | None:
        """Whether anything was outlined; None where nothing could be."""
        return None if self.mask is None else self.value > 0


@dataclass(frozen=True, slots=True)
class Beside:
    """What an earlier study came to, for the documents and for the worklist."""

    earlier: Earlier
    before: Before


def given(learner: Reads, arrays: Arrays, output: Output, volume: Volume) -> Given:
    """Have a model read a volume.

    Raises:
        CaseRefused: the model can't take it.
    """
    case = Case("", volume.array, None, volume.spacing)
    if output.kind not in OUTLINES:
        told = float(learner.predict(arrays, Labelled(case, ()))[0])
        return Given(told, (measured(output, told),))
    mask = learner.predict(arrays, case)
    measurements = sizes(mask, volume.spacing)
    return Given(measurements[0].value / 1000, measurements, mask)


def given_before(learner: Reads, arrays: Arrays, definition: Definition, prior: PriorFound | None) -> Beside | None:
    """Have the model read an earlier study; None where there is none, or it isn't fit for the model: it passes the same
    checks as the study itself, or isn't read.

    Raises:
        Unreadable: a file is none that the front door would have taken.
        OSError: a file can't be read.
    """
    if prior is None:
        return None
    try:
        series = SourceSeries(prior.files)
        if not all(check.holds for check in checks_of(definition.input, series)):
            return None
        found = given(learner, arrays, definition.output, series.volume)
    except (VolumeRefused, CaseRefused):
        return None
    image = stands_for(series.headers)
    earlier = Earlier(
        study=str(image.StudyInstanceUID),
        series=str(image.SeriesInstanceUID),
        sop_class=str(image.SOPClassUID),
        sop_instance=str(image.SOPInstanceUID),
        days=prior.days,
        measurements=found.measurements,
    )
    return Beside(earlier, Before(found.value, prior.days))
