"""What the index keeps of one de-identified object. Nothing is read from the original."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from wardround.dicom.header import InstanceSummary, summary
from wardround.dicom.segmentation_reading import SegmentationRefused, referenced_series_uid
from wardround.dicom.statement import Deidentified
from wardround.dicom.volume_geometry import DAMAGE

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_MODALITY = re.compile(r"^[A-Z0-9]{2,16}$")
_BODY_PART = re.compile(r"^[A-Z0-9 _]{2,16}$")


@dataclass(frozen=True, slots=True)
class Description:
    """Lengths in millimetres, age in whole years; what the object lacks, or states in no valid form, is None."""

    sex: str | None
    age: int | None
    modality: str | None
    body_part: str | None
    manufacturer: str | None
    rows: int | None
    columns: int | None
    row_spacing: float | None
    column_spacing: float | None
    thickness: float | None
    position: float | None
    labelled_series_uid: str | None
    is_reference: bool


class Undescribed(ValueError):
    """A de-identified object that can't be indexed; `reason_code` says why."""

    def __init__(self, reason_code: str) -> None:
        super().__init__(reason_code)
        self.reason_code = reason_code


def describe(one: Deidentified) -> Description:
    """The indexed attributes of a de-identified object.

    Raises:
        Undescribed: it can't be read back, or is a segmentation that doesn't say which one series it was drawn on.
    """
    try:
        ds = pydicom.dcmread(BytesIO(one.data), stop_before_pixels=True)
        return _described(ds, one.sop_class_uid == _SEGMENTATION)
    except SegmentationRefused as refused:
        raise Undescribed("label-" + refused.reason_code.value.replace("_", "-")) from None
    except DAMAGE:
        raise Undescribed("not-indexable") from None


def _described(ds: Dataset, is_label: bool) -> Description:
    series, instance = summary(ds)
    spacing = series.pixel_spacing
    return Description(
        sex=series.sex,
        age=series.age_years,
        modality=_term(series.modality, _MODALITY),
        body_part=_term(series.body_part, _BODY_PART),
        manufacturer=(series.manufacturer or "")[:64] or None,
        rows=series.rows,
        columns=series.columns,
        row_spacing=spacing[0] if spacing else None,
        column_spacing=spacing[1] if spacing else None,
        thickness=series.slice_thickness,
        position=_position(instance),
        labelled_series_uid=referenced_series_uid(ds) if is_label else None,
        is_reference=is_label and _drawn_by_people(ds),
    )


def _term(value: str | None, form: re.Pattern[str]) -> str | None:
    """A Defined Term in the form in which a cohort question can ask for it."""
    value = (value or "").upper()
    return value if form.match(value) else None


def _position(instance: InstanceSummary) -> float | None:
    if instance.position is None or instance.orientation is None:
        return None
    return float(np.cross(instance.orientation[:3], instance.orientation[3:]) @ np.asarray(instance.position))


def _drawn_by_people(ds: Dataset) -> bool:
    """Whether no segment is an algorithm's own (Segment Algorithm Type (0062,0008), PS3.3 C.8.20.4)."""
    kinds = {str(segment.get("SegmentAlgorithmType") or "") for segment in ds.get("SegmentSequence") or ()}
    return bool(kinds) and kinds <= {"MANUAL", "SEMIAUTOMATIC"}
