"""A result that a person agreed with or corrected, written as what a person drew; runs in the reading process."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from wardround.dicom.finding import coded
from wardround.dicom.segmentation import read_segmentation, write_annotation
from wardround.dicom.segmentation_reading import SegmentationRefused
from wardround.dicom.volume_refusal import VolumeRefused
from wardround.node.clinic.definition import Definition
from wardround.node.clinic.examination import examine
from wardround.node.receive.arrival import Unreadable

_NAMES = uuid.UUID("5e0c4a1e-94f2-4a52-8d5e-6f1b7f5cf0a3")
"""The namespace (RFC 9562 section 5.5) of the UIDs of labels."""


class NoLabel(RuntimeError):
    """The outline can't be laid over the study's images; `code` says why, without an identifier."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def write_label(
    definition: Definition,
    files: Sequence[Path],
    outline: Path,
    *,
    assisted_by: str,
    name: str,
    at: datetime,
    corrected: bool = False,
) -> bytes:
    """A segmentation, Part 10, whose segment is SEMIAUTOMATIC: a person's, drawn with a model's help.

    Args:
        files: of the study as the clinic has it.
        outline: the result, a SEG, or that as the person corrected it.
        assisted_by: the model. name: of this label; the same name gives the same UID (`label_uid`). at: when the person
            answered.

    Raises:
        NoLabel: study or outline can't be read, or don't fit.
    """
    try:
        series = examine(definition, files).source
        if series is None:
            raise NoLabel("no-series")
        mask = read_segmentation(outline, series.volume)
    except (SegmentationRefused, VolumeRefused, Unreadable, OSError):
        raise NoLabel("outline-unfit") from None
    of = definition.output.of.capitalize()
    return write_annotation(
        series,
        mask,
        assisted_by=assisted_by,
        label=of,
        coded=coded(definition.output.of),
        series_description=f"{of}, {'corrected' if corrected else 'agreed with'}",
        series_instance_uid=_uid(f"series {name}"),
        sop_instance_uid=label_uid(name),
        tracking_uid=_uid(f"tracking {name}"),
        at=at,
    )


def label_uid(name: str) -> str:
    """The SOP Instance UID of the label of a name, before it is de-identified."""
    return _uid(name)


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMES, name).int}"
