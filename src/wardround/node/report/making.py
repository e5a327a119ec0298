"""Every report of one reading, made in the reading process: SR, picture or PDF, and the record for FHIR and HL7."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from wardround.dicom.finding import (
    CUBIC_MM,
    LONG_AXIS,
    MM,
    PROBABILITY,
    RATIO,
    VOLUME,
    Finding,
    Measurement,
    number_concept,
    unit_of,
)
from wardround.dicom.source_series import SourceSeries
from wardround.node.clinic.definition import Output, Summary
from wardround.node.report.document import Document, OutputKind
from wardround.node.report.record import Made, Record, subject_of, to_bytes


def sizes(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> tuple[Measurement, ...]:
    """The measurements of an outline: its volume and, if anything is marked, its longest diameter."""
    from wardround.dicom.measuring import longest_diameter_mm, volume_mm3  # SciPy is for the reading process alone

    volume = Measurement(VOLUME, volume_mm3(mask, spacing), CUBIC_MM)
    longest = longest_diameter_mm(mask, spacing)
    return (volume, Measurement(LONG_AXIS, longest, MM)) if longest > 0 else (volume,)


def measured(output: Output, told: float) -> Measurement:
    """What a model told that outlines nothing: a probability, or a number in the pathway's unit."""
    if output.kind == "class":
        return Measurement(PROBABILITY, told, RATIO)
    return Measurement(number_concept(output.of), told, unit_of(output.unit))


def reports_of(
    slices: Sequence[Dataset] | SourceSeries,
    mask: NDArray[np.bool_] | None,
    segmentation: bytes | None,
    finding: Finding,
    summary: Summary = "picture",
) -> tuple[Document, ...]:
    """What goes out beside a segmentation.

    Args:
        slices: the series that was read.
        mask: what was outlined, on its grid; None for a model that outlines nothing, as `segmentation` then.
        summary: what people are shown of it at one glance.

    Raises:
        VolumeRefused: the series is no volume.
    """
    from wardround.dicom.capture import write_capture
    from wardround.dicom.measurement_report import write_measurements
    from wardround.dicom.summary import write_summary

    series = SourceSeries.of(slices)
    segmented = None if segmentation is None else dcmread(BytesIO(segmentation))
    written = (
        (OutputKind.MEASUREMENTS, write_measurements(series, finding, segmentation=segmented)),
        (OutputKind.CAPTURE, write_capture(series, mask, finding))
        if summary == "picture"
        else (OutputKind.SUMMARY, write_summary(series, mask, finding)),
    )
    documents, made = [], [] if segmented is None else [_made(segmented)]
    for kind, data in written:
        object_ = _made(dcmread(BytesIO(data), stop_before_pixels=True))
        made.append(object_)
        documents.append(Document(kind, data, object_.sop_class, object_.sop_instance))
    record = to_bytes(Record(subject_of(series.headers[0], len(series.headers)), finding, tuple(made)))
    return (*documents, Document(OutputKind.FHIR, record), Document(OutputKind.HL7, record))


def _made(ds: Dataset) -> Made:
    return Made(str(ds.Modality), str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID))
