"""The header of a source image as results take it over: patient and study as the PACS knows them, and valid DICOM."""

from __future__ import annotations

import copy
import re
import uuid
from datetime import date

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

UTF8 = "ISO_IR 192"
_TYPE_2 = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_TIMES = ("PatientBirthTime", "StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
_NAMES = ("PatientName", "ReferringPhysicianName")
_GROUP = 64
"""Characters of each group of a person name (PS3.5 Table 6.2-1, VR PN)."""


def header_of(ds: Dataset) -> Dataset:
    """A copy without pixels and private elements, its texts as Unicode, with the type 2 attributes that it may lack.

    Dates and times that aren't valid are left empty, and a group of a name ends after 64 characters; identifiers stay
    exactly as they are, since the PACS files the result by them. The source isn't changed.
    """
    header = copy.copy(ds)
    header._dict = {tag: element for tag, element in ds._dict.items() if not tag.is_private and tag != 0x7FE00010}
    header = copy.deepcopy(header)
    header.decode()
    for keyword in _TYPE_2:
        if keyword not in header:
            setattr(header, keyword, "")
    for keyword in _NAMES:
        groups = str(header.get(keyword, "") or "").split("=")[:3]
        value = "=".join(group[:_GROUP] for group in groups)
        setattr(header, keyword, PersonName(value.encode(), ["utf8"]) if value else "")
    for keyword in _DATES:
        if keyword in header and not is_date(str(header.get(keyword) or "")):
            setattr(header, keyword, "")
    for keyword in _TIMES:
        if keyword in header and not _TIME.fullmatch(str(header.get(keyword) or "")):
            setattr(header, keyword, "")
    if str(header.PatientSex or "") not in ("M", "F", "O"):
        header.PatientSex = ""
    header.SpecificCharacterSet = UTF8
    return header


def is_date(text: str) -> bool:
    """Whether it is a date in DICOM's form (VR DA), and not one that stands for none, such as 00010101."""
    if len(text) != 8 or not text.isdigit() or text < "1800":
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def made_uid() -> str:
    """A UID derived from a random UUID (PS3.5 section B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def led(banner: str, text: str) -> str:
    """The banner whole and as much of the text as a DICOM long string (64 characters) leaves room for."""
    return f"{banner}: {text}"[:64].rstrip(" :") if banner else text[:64]
