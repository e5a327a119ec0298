"""Objects of every SOP class, filled to the brim: each attribute of each module of the class, at every depth.

The modules and types come from highdicom's copy of PS3.3. Values are plausible rather than right, so a validator has
something to say of most; what counts is that de-identification adds nothing to it.
"""

from __future__ import annotations

import io
import json
from functools import cache
from importlib.resources import files
from typing import Any

import pydicom
from PIL import ImageCms
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset

from wardround.dicom.confidentiality import confidentiality_table

CANARY = "KANARIENVOGEL"
KEPT = "STANDARD"
CANARY_UID, KEPT_UID = "1.2.999.31337.4711", "1.2.999.8"
_MODALITIES = {
    "1.2.840.10008.5.1.4.1.1.1": "CR", "1.2.840.10008.5.1.4.1.1.2": "CT", "1.2.840.10008.5.1.4.1.1.3": "US",
    "1.2.840.10008.5.1.4.1.1.4": "MR", "1.2.840.10008.5.1.4.1.1.6": "US", "1.2.840.10008.5.1.4.1.1.7": "OT",
    "1.2.840.10008.5.1.4.1.1.9": "ECG", "1.2.840.10008.5.1.4.1.1.11": "PR", "1.2.840.10008.5.1.4.1.1.12": "XA",
    "1.2.840.10008.5.1.4.1.1.20": "NM", "1.2.840.10008.5.1.4.1.1.66.4": "SEG", "1.2.840.10008.5.1.4.1.1.66": "REG",
    "1.2.840.10008.5.1.4.1.1.77": "OP", "1.2.840.10008.5.1.4.1.1.88": "SR", "1.2.840.10008.5.1.4.1.1.88.59": "KO",
    "1.2.840.10008.5.1.4.1.1.128": "PT", "1.2.840.10008.5.1.4.1.1.130": "PT",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE", "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
}  # fmt: skip
_VALUES: dict[str, Any] = {
    "ICCProfile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"], "FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
    "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": 4, "Columns": 4, "BitsAllocated": 16,
    "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "NumberOfFrames": "1", "PixelData": bytes(32),
    "PatientSex": "F", "PatientAge": "042Y", "SpecificCharacterSet": "ISO_IR 100", "BurnedInAnnotation": "NO",
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"], "ImagePositionPatient": ["0", "0", "0"],
    "CodingSchemeDesignator": "DCM", "CodeValue": "113100", "TimezoneOffsetFromUTC": "+0100", "ValueType": "CONTAINER",
    "RelationshipType": "CONTAINS", "ContinuityOfContent": "SEPARATE", "CompletionFlag": "PARTIAL",
    "VerificationFlag": "UNVERIFIED", "PresentationLUTShape": "IDENTITY", "ContentLabel": "LABEL",
    "LUTDescriptor": [4, 0, 16], "LUTData": [0, 1, 2, 3], "PlanarConfiguration": 0,
    "LossyImageCompression": "00", "RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US",
}  # fmt: skip
_BY_VR: dict[str, Any] = {
    "AE": CANARY, "AS": "042Y", "AT": 0x00080018, "CS": "NONE", "DA": "20200229", "DS": "1", "DT": "20200229101112",
    "FD": 1.0, "FL": 1.0, "IS": "1", "LO": CANARY, "LT": CANARY, "OB": b"\0\0", "OD": bytes(8), "OF": bytes(4),
    "OL": bytes(4), "OV": bytes(8), "OW": b"\0\0", "PN": f"{CANARY}^Kay", "SH": CANARY, "SL": 1, "SS": 1,
    "ST": CANARY, "SV": 1, "TM": "101112", "UC": CANARY, "UI": CANARY_UID, "UL": 1, "UN": b"\0\0",
    "UR": f"http://{CANARY}.example", "US": 1, "UT": CANARY, "UV": 1,
}  # fmt: skip
_SUCCESSORS = {
    "1.2.840.10008.5.1.4.1.1.3": "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.5": "1.2.840.10008.5.1.4.1.1.20",
    "1.2.840.10008.5.1.4.1.1.6": "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.12.3": "1.2.840.10008.5.1.4.1.1.12.1",
}
_PLAIN = "1.2.840.10008.5.1.4.1.1.7"
_NOT_LISTED = ""
_SKIPPED = frozenset({"EncryptedAttributesSequence", "DigitalSignaturesSequence", "MACParametersSequence"})


@cache
def _standard(name: str) -> Any:
    return json.loads(files("highdicom").joinpath("_standard", name).read_text(encoding="utf-8"))


def like(sop_class: str) -> str:
    """The class whose modules an object of ``sop_class`` gets: its own where they are known; of a retired class those
    of its successor, or of an image that says little where there is none."""
    return sop_class if sop_class in _standard("sop_class_iod_map.json") else _SUCCESSORS.get(sop_class, _PLAIN)


def filled(sop_class: str, types: frozenset[str] = frozenset({"1", "1C", "2", "2C"}), depth: int = 3) -> bytes:
    """An object of ``sop_class`` with every attribute of ``types``, sequences ``depth`` deep."""
    dataset = Dataset()
    iod = _standard("sop_class_iod_map.json")[like(sop_class)]
    for module in _standard("iod_module_map.json")[iod]:
        attributes = _standard("module_attribute_map.json").get(module["key"], [])
        sequences = {(*each["path"], each["keyword"]) for each in attributes if each["type"] in types}
        for each in attributes:
            path = each["path"]
            whole = all(tuple(path[: n + 1]) in sequences for n in range(len(path)))
            if each["type"] in types and whole and len(path) <= depth and not _SKIPPED & {*path, each["keyword"]}:
                _put(dataset, path, each["keyword"])
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"{CANARY_UID}.8"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = f"{CANARY}^Kay", f"{CANARY}-1", "19311223"
    dataset.Modality = next(
        (m for uid, m in sorted(_MODALITIES.items(), reverse=True) if sop_class.startswith(uid)), "OT"
    )
    if "SynchronizationTrigger" in dataset:
        dataset.SynchronizationTrigger = "NO TRIGGER"
    return written(dataset)


def written(dataset: Dataset) -> bytes:
    """A Part 10 file in Explicit VR Little Endian."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _put(dataset: Dataset, path: list[str], keyword: str) -> None:
    for step in path:
        if step not in dataset or not dataset[step].value:
            if tag_for_keyword(step) is None:
                return
            setattr(dataset, step, [Dataset()])
        dataset = dataset[step].value[0]
    tag = tag_for_keyword(keyword)
    if tag is None or keyword in dataset or tag >> 16 in (0x0002, 0x0004):
        return
    vr, count = (
        "OW" if keyword == "PixelData" else DicomDictionary[tag][0].split(" ")[0],
        DicomDictionary[tag][1].split("-")[0],
    )
    if vr == "SQ":
        dataset.add_new(tag, "SQ", [Dataset()])
        return
    value = _VALUES.get(keyword, _BY_VR[vr])
    row = confidentiality_table().get(f"{tag:08x}", _NOT_LISTED)
    if isinstance(value, str) and (row is _NOT_LISTED or " device:K" in row or " institution:K" in row):
        value = value.replace(CANARY, KEPT).replace(CANARY_UID, KEPT_UID if row else CANARY_UID)
    if vr == "UI":
        value = f"{value}.{tag}"
    several = int(count) if count.isdigit() and keyword not in _VALUES else 1
    dataset.add_new(tag, vr, [value] * several if several > 1 else value)
