"""A de-identified object's header as the DICOM JSON Model (PS3.18 Annex F), bulk data by reference."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from wardround.dicom.damage import DAMAGE
from wardround.node.dicomweb.failure import bad_request

LARGEST_INLINE = 1024
"""Bytes of a binary value above which it is given by reference."""
BULK = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
Json = dict[str, Any]


def is_uid(text: str) -> bool:
    """Whether it could be one: at most 64 digits and dots (PS3.5 section 9.1), whatever they mean."""
    return 0 < len(text) <= 64 and set(text) <= set("0123456789.")


def address_uid(text: str) -> str:
    """A UID that an address names. Raises `WebFailure` 400 where it couldn't be one."""
    if not is_uid(text):
        raise bad_request("a UID in the address is none")
    return text


def tags(*keywords: str) -> tuple[str, ...]:
    """Keywords as tags in hexadecimal, as the JSON model names attributes."""
    numbers = [tag_for_keyword(keyword) for keyword in keywords]
    assert None not in numbers  # noqa: S101 - keywords are literals of this program
    return tuple(f"{number:08X}" for number in numbers)


STUDY = tags(
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "LongitudinalTemporalInformationModified",
    "StudyInstanceUID",
    "StudyID",
)
SERIES = tags(
    "Modality",
    "SeriesDescription",
    "SeriesDate",
    "SeriesTime",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "ProtocolName",
    "PatientPosition",
    "Laterality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "RequestAttributesSequence",
)
INSTANCE = tags(
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "ContentDate",
    "ContentTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SliceLocation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "PhotometricInterpretation",
    "ContentLabel",
    "ContentDescription",
    "ConceptNameCodeSequence",
    "CompletionFlag",
    "VerificationFlag",
)


@dataclass(frozen=True, slots=True)
class Header:
    """One object's header. `attributes` is the JSON model; a bulk value is `{"vr": …, "BulkDataURI": "<place>"}` with
    the place as `tag` or `tag/item/tag`, items counted from 0."""

    transfer_syntax: str
    attributes: Json = field(repr=False)

    def text(self, keyword_tag: str) -> str:
        """The first value of an attribute as text, empty if it has none."""
        values = self.attributes.get(keyword_tag, {}).get("Value") or [""]
        value = values[0]
        if isinstance(value, dict):
            value = value.get("Alphabetic", "")
        return "" if value is None else str(value)

    def number(self, keyword_tag: str) -> int | None:
        text = self.text(keyword_tag)
        return int(text) if text.lstrip("+-").isdigit() and text.isascii() else None

    def part(self, wanted: Iterable[str]) -> Json:
        """Those of the attributes that are wanted and there."""
        return {tag: self.attributes[tag] for tag in wanted if tag in self.attributes}

    def pack(self) -> bytes:
        return zlib.compress(json.dumps(self.attributes, separators=(",", ":")).encode(), 6)


def unpack(packed: bytes) -> Json:
    """The attributes of a packed header."""
    attributes: Json = json.loads(zlib.decompress(packed))
    return attributes


def read_header(file: Path) -> Header:
    """The header of a Part 10 file; of large values nothing is read.

    Raises:
        One of `wardround.dicom.damage.DAMAGE`: it isn't one.
    """
    ds = pydicom.dcmread(file, defer_size=LARGEST_INLINE)
    attributes = _json(ds, "")
    # DICOM JSON is UTF-8 whatever the object was written in (PS3.18 F.2).
    attributes["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    syntax = str(ds.file_meta.get("TransferSyntaxUID", ""))
    # What a viewer needs to know of compressed pixels before it asks for them (PS3.18 10.4.1.1.2, Orthanc, dcm4chee).
    attributes["00083002"] = {"vr": "UI", "Value": [syntax]}
    return Header(syntax, dict(sorted(attributes.items())))


def _json(ds: Dataset, place: str) -> Json:
    attributes: Json = {}
    for tag in sorted(ds.keys()):
        raw = ds.get_item(tag, keep_deferred=True)
        name = f"{int(tag):08X}"
        vr = str(getattr(raw, "VR", None) or "")
        length = getattr(raw, "length", 0)
        if int(tag) in PIXELS or (vr in BULK and (length == 0xFFFFFFFF or length > LARGEST_INLINE)):
            attributes[name] = {"vr": _bulk_vr(int(tag), vr, ds), "BulkDataURI": f"{place}{name}"}
            continue
        try:
            element = ds[tag]
            if element.VR == "SQ":
                items = [_json(item, f"{place}{name}/{number}/") for number, item in enumerate(element.value)]
                attributes[name] = {"vr": "SQ"} | ({"Value": items} if items else {})
            elif element.VR in BULK and len(element.value or b"") > LARGEST_INLINE:
                attributes[name] = {"vr": element.VR, "BulkDataURI": f"{place}{name}"}
            else:
                attributes[name] = element.to_json_dict(None, LARGEST_INLINE + 1)
        except DAMAGE:
            # A value that no reader understands is left out; the object itself keeps it.
            continue
    return attributes


def _bulk_vr(tag: int, vr: str, ds: Dataset) -> str:
    """An implicit VR file doesn't say; PS3.5 Annex A.2: pixels of more than 8 bits are words."""
    if tag == 0x7FE00008:
        return "OF"
    if tag == 0x7FE00009:
        return "OD"
    if vr in BULK:
        return vr
    return "OW" if int(ds.get("BitsAllocated") or 16) > 8 else "OB"


def with_links(attributes: Json, base: str) -> Json:
    """A copy in which each bulk value's place is an address below `base`."""
    return {tag: _linked(attribute, base) for tag, attribute in attributes.items()}


def _linked(attribute: Json, base: str) -> Json:
    if "BulkDataURI" in attribute:
        return attribute | {"BulkDataURI": f"{base}/bulkdata/{attribute['BulkDataURI']}"}
    if attribute.get("vr") == "SQ" and "Value" in attribute:
        return attribute | {"Value": [with_links(item, base) for item in attribute["Value"]]}
    return attribute
