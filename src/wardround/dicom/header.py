"""What an index keeps of a de-identified object. Missing or malformed values become None, never an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

_AGE = re.compile(r"\s*(\d{1,3})([DWMY])\s*$")
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}


@dataclass(frozen=True, slots=True)
class InstanceSummary:
    """One object. Spacing is (row, column) in mm, as in Pixel Spacing; position and orientation are in the patient
    coordinate system, LPS, mm (PS3.3 C.7.6.2)."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str | None
    instance_number: int | None
    rows: int | None
    columns: int | None
    frames: int
    position: tuple[float, float, float] | None
    orientation: tuple[float, float, float, float, float, float] | None
    pixel_spacing: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """What the objects of a series share. ``patient`` is the pseudonym, ``study_date`` a shifted date."""

    patient: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str | None
    body_part: str | None
    sex: str | None
    age_years: int | None
    study_date: date | None
    rows: int | None
    columns: int | None
    pixel_spacing: tuple[float, float] | None
    slice_thickness: float | None
    manufacturer: str | None
    model: str | None
    referenced_series_uids: tuple[str, ...]


def summary(source: Dataset | bytes | Path) -> tuple[SeriesSummary, InstanceSummary]:
    """The summaries of a de-identified object: a data set, or a Part 10 file, of which no pixels are read.

    Raises:
        pydicom.errors.InvalidDicomError: ``source`` is no Part 10 file.
        OSError: ``source`` is a path that can't be read.
    """
    dataset = source if isinstance(source, Dataset) else _read(source)
    spacing = _numbers(dataset, "PixelSpacing", 2) or _shared(dataset, "PixelSpacing", 2)
    thickness = _numbers(dataset, "SliceThickness", 1) or _shared(dataset, "SliceThickness", 1)
    orientation = _numbers(dataset, "ImageOrientationPatient", 6) or _shared(dataset, "ImageOrientationPatient", 6)
    position = _numbers(dataset, "ImagePositionPatient", 3)
    pixel_spacing = (spacing[0], spacing[1]) if spacing else None
    rows, columns = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    study, series = _text(dataset, "StudyInstanceUID") or "", _text(dataset, "SeriesInstanceUID") or ""
    sex = _text(dataset, "PatientSex")
    return (
        SeriesSummary(
            patient=_text(dataset, "PatientID") or "",
            study_instance_uid=study,
            series_instance_uid=series,
            modality=_text(dataset, "Modality"),
            body_part=_text(dataset, "BodyPartExamined"),
            sex=sex if sex in ("F", "M", "O") else None,
            age_years=age_years(_text(dataset, "PatientAge")),
            study_date=_date(_text(dataset, "StudyDate")),
            rows=rows,
            columns=columns,
            pixel_spacing=pixel_spacing,
            slice_thickness=thickness[0] if thickness else None,
            manufacturer=_text(dataset, "Manufacturer"),
            model=_text(dataset, "ManufacturerModelName"),
            referenced_series_uids=_referenced_series(dataset),
        ),
        InstanceSummary(
            sop_instance_uid=_text(dataset, "SOPInstanceUID") or "",
            sop_class_uid=_text(dataset, "SOPClassUID") or "",
            series_instance_uid=series,
            study_instance_uid=study,
            frame_of_reference_uid=_text(dataset, "FrameOfReferenceUID"),
            instance_number=_integer(dataset, "InstanceNumber"),
            rows=rows,
            columns=columns,
            frames=_integer(dataset, "NumberOfFrames") or 1,
            position=(position[0], position[1], position[2]) if position else None,
            orientation=_six(orientation),
            pixel_spacing=pixel_spacing,
        ),
    )


def age_years(text: str | None) -> int | None:
    """Whole years of an Age String (PS3.5 6.2), or None."""
    found = _AGE.match(text or "")
    return int(int(found[1]) / _PER_YEAR[found[2]]) if found else None


def _read(source: bytes | Path) -> Dataset:
    return pydicom.dcmread(BytesIO(source) if isinstance(source, bytes) else source, stop_before_pixels=True)


def _value(dataset: Dataset, keyword: str) -> object:
    try:
        return dataset.get(keyword)
    # pydicom converts a value when it is asked for, and raises what its converters raise.
    except (BytesLengthException, LookupError, ValueError, TypeError, OverflowError, AttributeError, OSError):
        return None


def _text(dataset: Dataset, keyword: str) -> str | None:
    value = _value(dataset, keyword)
    if value is None or isinstance(value, (list, tuple, pydicom.multival.MultiValue, pydicom.Sequence)):
        return None
    return str(value).strip() or None


def _integer(dataset: Dataset, keyword: str) -> int | None:
    value = _value(dataset, keyword)
    try:
        return None if value is None else int(str(value))
    except ValueError:
        return None


def _numbers(dataset: Dataset, keyword: str, count: int) -> list[float] | None:
    value = _value(dataset, keyword)
    parts = list(value) if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]
    try:
        numbers = [float(str(part)) for part in parts]
    except ValueError:
        return None
    finite = all(number - number == 0 for number in numbers)
    return numbers if len(numbers) == count and finite else None


def _shared(dataset: Dataset, keyword: str, count: int) -> list[float] | None:
    """The value that all frames of a multi-frame object share (PS3.3 C.7.6.16)."""
    for group in _items(dataset, "SharedFunctionalGroupsSequence"):
        for macro in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
            for item in _items(group, macro):
                found = _numbers(item, keyword, count)
                if found:
                    return found
    return None


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = _value(dataset, keyword)
    return list(value) if isinstance(value, pydicom.Sequence) else []


def _referenced_series(dataset: Dataset) -> tuple[str, ...]:
    uids = (_text(item, "SeriesInstanceUID") for item in _items(dataset, "ReferencedSeriesSequence"))
    return tuple(uid for uid in uids if uid)


def _six(values: list[float] | None) -> tuple[float, float, float, float, float, float] | None:
    return (values[0], values[1], values[2], values[3], values[4], values[5]) if values else None


def _date(text: str | None) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])) if text and len(text) == 8 else None
    except ValueError:
        return None
