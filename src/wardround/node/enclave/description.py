"""What the index keeps of one de-identified object. Nothing is read from the original."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset

from wardround.dicom.damage import DAMAGE
from wardround.dicom.errors import Refused
from wardround.dicom.header import age_years
from wardround.dicom.segmentation_reading import SegmentationRefused, referenced_series_uid
from wardround.dicom.statement import Deidentified
from wardround.node.enclave.head import Head, first_of, read_head

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_MODALITY = re.compile(r"^[A-Z0-9]{2,16}$")
_BODY_PART = re.compile(r"^[A-Z0-9 _]{2,16}$")
_CODE = re.compile(r"^[A-Z0-9 _]{1,16}$")
_SEXES = frozenset("FMO")
_CONTRAST_TOLD = frozenset({"CT", "MR"})
"""Modalities whose images must have the Contrast/Bolus Module where contrast was used (PS3.3 A.3.3, A.4.3)."""

_IMAGE_TYPE, _STUDY_DATE, _SERIES_DATE, _ACQUISITION_DATE = 0x00080008, 0x00080020, 0x00080021, 0x00080022
_MODALITY_TAG, _MANUFACTURER, _STUDY_DESCRIPTION = 0x00080060, 0x00080070, 0x00081030
_SERIES_DESCRIPTION, _MODEL = 0x0008103E, 0x00081090
_SEX, _AGE = 0x00100040, 0x00101010
_CONTRAST_AGENT, _CONTRAST_AGENTS, _CONTRAST_VOLUME = 0x00180010, 0x00180012, 0x00181041
_BODY, _THICKNESS, _FIELD, _VIEW = 0x00180015, 0x00180050, 0x00180087, 0x00185101
_SERIES_NUMBER, _NUMBER, _POSITION, _ORIENTATION = 0x00200011, 0x00200013, 0x00200032, 0x00200037
_LATERALITY, _IMAGE_LATERALITY = 0x00200060, 0x00200062
_PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _SPACING, _BITS = (
    0x00280004,
    0x00280008,
    0x00280010,
    0x00280011,
    0x00280030,
    0x00280101,
)
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_PLANE_ORIENTATION, _PIXEL_MEASURES = 0x00209116, 0x00289110


@dataclass(frozen=True, slots=True)
class Description:
    """Lengths in millimetres, age in whole years, field strength in tesla; dates are shifted ones.

    What the object lacks, or states in no valid form, is None. `contrast` is None where the object can't say. Values
    of an enhanced object are those that its frames share, else its first frame's (PS3.3 C.7.6.16).
    """

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
    model: str | None = None
    study_date: date | None = None
    study_description: str | None = None
    series_date: date | None = None
    series_description: str | None = None
    series_number: int | None = None
    number: int | None = None
    frames: int = 1
    bits: int | None = None
    field_strength: float | None = None
    contrast: bool | None = None
    image_type: str | None = None
    laterality: str | None = None
    view_position: str | None = None
    photometric: str | None = None
    transfer_syntax: str | None = None


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
        head, syntax = read_head(one.data)
        label = None
        if one.sop_class_uid == _SEGMENTATION:
            label = pydicom.dcmread(BytesIO(one.data), stop_before_pixels=True)
        return _described(head, syntax, label)
    except SegmentationRefused as refused:
        raise Undescribed("label-" + refused.reason_code.value.replace("_", "-")) from None
    except Refused:
        raise Undescribed("not-indexable") from None
    except DAMAGE:
        raise Undescribed("not-indexable") from None


def _described(head: Head, syntax: str, label: Dataset | None) -> Description:
    groups = [*head.items(_SHARED), *head.items(_PER_FRAME)]
    measures = [head, *(item for group in groups for item in group.items(_PIXEL_MEASURES))]
    planes = [head, *(item for group in groups for item in group.items(_PLANE_ORIENTATION))]
    spacing, thickness = first_of(measures, _SPACING, 2), first_of(measures, _THICKNESS, 1)
    modality = _term(head.text(_MODALITY_TAG), _MODALITY)
    sex = head.text(_SEX)
    field = head.numbers(_FIELD, 1)
    return Description(
        sex=sex if sex in _SEXES else None,
        age=age_years(head.text(_AGE)),
        modality=modality,
        body_part=_term(head.text(_BODY), _BODY_PART),
        manufacturer=_line(head.text(_MANUFACTURER)),
        rows=_positive(head.integer(_ROWS)),
        columns=_positive(head.integer(_COLUMNS)),
        row_spacing=spacing[0] if spacing else None,
        column_spacing=spacing[1] if spacing else None,
        thickness=thickness[0] if thickness else None,
        position=_position(head.numbers(_POSITION, 3), first_of(planes, _ORIENTATION, 6)),
        labelled_series_uid=None if label is None else referenced_series_uid(label),
        is_reference=label is not None and _drawn_by_people(label),
        model=_line(head.text(_MODEL)),
        study_date=_date(head.text(_STUDY_DATE)),
        study_description=_line(head.text(_STUDY_DESCRIPTION)),
        series_date=_date(head.text(_SERIES_DATE)) or _date(head.text(_ACQUISITION_DATE)),
        series_description=_line(head.text(_SERIES_DESCRIPTION)),
        series_number=_small(head.integer(_SERIES_NUMBER)),
        number=_small(head.integer(_NUMBER)),
        frames=_positive(head.integer(_FRAMES)) or 1,
        bits=_positive(head.integer(_BITS)),
        field_strength=field[0] if field and field[0] > 0 else None,
        contrast=_contrast(head, modality),
        image_type="\\".join(head.texts(_IMAGE_TYPE))[:255] or None,
        laterality=_term(head.text(_IMAGE_LATERALITY) or head.text(_LATERALITY), _CODE),
        view_position=_term(head.text(_VIEW), _CODE),
        photometric=_term(head.text(_PHOTOMETRIC), _CODE),
        transfer_syntax=syntax[:64] or None,
    )


def _contrast(head: Head, modality: str | None) -> bool | None:
    volume = head.numbers(_CONTRAST_VOLUME, 1)
    if head.text(_CONTRAST_AGENT) or head.items(_CONTRAST_AGENTS) or (volume and volume[0] > 0):
        return True
    return False if modality in _CONTRAST_TOLD else None


def _term(value: str | None, form: re.Pattern[str]) -> str | None:
    """A Defined Term in the form in which a cohort question can ask for it."""
    value = (value or "").upper()
    return value if form.match(value) else None


def _line(value: str | None) -> str | None:
    """Text as far as its value representation (LO) goes, without control characters."""
    return "".join(letter for letter in value if letter.isprintable())[:64] or None if value else None


def _positive(value: int | None) -> int | None:
    return value if value is not None and 0 < value < 1 << 31 else None


def _small(value: int | None) -> int | None:
    return value if value is not None and abs(value) < 1 << 31 else None


def _date(text: str | None) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])) if text and len(text) == 8 else None
    except ValueError:
        return None


def _position(position: tuple[float, ...] | None, orientation: tuple[float, ...] | None) -> float | None:
    if position is None or orientation is None:
        return None
    # Written out: this is done for every object, and arrays of three numbers cost more than the sum.
    (a, b, c), (d, e, f), (x, y, z) = orientation[:3], orientation[3:], position
    return (b * f - c * e) * x + (c * d - a * f) * y + (a * e - b * d) * z


def _drawn_by_people(ds: Dataset) -> bool:
    """Whether no segment is an algorithm's own (Segment Algorithm Type (0062,0008), PS3.3 C.8.20.4)."""
    kinds = {str(segment.get("SegmentAlgorithmType") or "") for segment in ds.get("SegmentSequence") or ()}
    return bool(kinds) and kinds <= {"MANUAL", "SEMIAUTOMATIC"}
