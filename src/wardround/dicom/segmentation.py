"""Segmentations as DICOM SEG objects of type BINARY: written with highdicom, read with pydicom alone.

Implements the Segmentation IOD, DICOM PS3.3 sections A.51 and C.8.20, with one segment labelled "Glioma" and
coded "Neoplasm" in SNOMED CT (PS3.16 CID 7150 and 7151). Masks are bool (Z, Y, X) on the grid of
`wardround.dicom.volume.read_volume` for the segmented series, whatever the order the instances are given in.
"""

import copy
import io
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import highdicom as hd
import numpy as np
from highdicom.sr.coding import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from wardround.dicom.segmentation_reading import (
    SegmentationReason,
    SegmentationRefused,
    read_segmentation,
    referenced_series_uid,
)
from wardround.dicom.volume import slices_in_order
from wardround.dicom.volume_refusal import Source

__all__ = [
    "SegmentationReason",
    "SegmentationRefused",
    "read_segmentation",
    "referenced_series_uid",
    "write_annotation",
    "write_segmentation",
]

CATEGORY = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
NEOPLASM = CodedConcept("108369006", "SCT", "Neoplasm")
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")
MANUFACTURER = "Wardround"

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


def write_segmentation(
    source_instances: Sequence[Source],
    mask: NDArray[np.bool_],
    *,
    model_name: str,
    model_version: str,
    model_digest: str | None = None,
    banner: str = "",
    series_description: str = "Glioma, automatic segmentation",
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
    series_number: int = 9001,
    at: datetime | None = None,
) -> bytes:
    """What a model found, as one Part 10 object (Explicit VR Little Endian).

    banner: text on the stage of the model, such as "Shadow: not for diagnostic use"; it leads the descriptions of
        the series, the content and the segment, where viewers show it.
    at: when the result was made, by this hospital's clock; now by default.
    UIDs are made from random UUIDs where none is given.
    Patient and study come from the source. An empty mask gives a valid object whose frames are all empty.
    Raises VolumeRefused where the source is no regular series, ValueError where the mask does not fit it.
    """
    algorithm = hd.AlgorithmIdentificationSequence(
        name=model_name[:64],
        family=ARTIFICIAL_INTELLIGENCE,
        version=model_version[:64],
        source=MANUFACTURER,
        parameters={"digest": model_digest} if model_digest else None,
    )
    return _write(
        source_instances,
        mask,
        _Authorship(
            algorithm=algorithm,
            model=model_name,
            version=model_version,
            series_description=_led(banner, series_description),
            description=_led(banner, f"{model_name} {model_version}"),
            series_number=series_number,
            at=at,
        ),
        series_instance_uid,
        sop_instance_uid,
    )


def write_annotation(
    source_instances: Sequence[Source],
    mask: NDArray[np.bool_],
    *,
    annotator: str | None = None,
    series_description: str = "Glioma, reference segmentation",
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
    tracking_uid: str | None = None,
    series_number: int = 9000,
    at: datetime | None = None,
) -> bytes:
    """What a person drew (segment algorithm type MANUAL), otherwise as `write_segmentation`.

    annotator: the name of the person, as a DICOM person name; left out where None.
    tracking_uid: identifies this lesion across objects; made where not given.
    """
    authorship = _Authorship(
        algorithm=None,
        model="Reference annotation",
        version="1",
        series_description=series_description[:64],
        description=series_description[:64],
        series_number=series_number,
        at=at,
        annotator=annotator,
        tracking_uid=tracking_uid,
    )
    return _write(source_instances, mask, authorship, series_instance_uid, sop_instance_uid)


@dataclass(frozen=True, slots=True)
class _Authorship:
    algorithm: hd.AlgorithmIdentificationSequence | None
    model: str
    version: str
    series_description: str
    description: str
    series_number: int
    at: datetime | None
    annotator: str | None = None
    tracking_uid: str | None = None


def _write(
    source_instances: Sequence[Source],
    mask: NDArray[np.bool_],
    by: _Authorship,
    series_instance_uid: str | None,
    sop_instance_uid: str | None,
) -> bytes:
    datasets, shape = slices_in_order(source_instances)
    if mask.shape != shape or mask.dtype != np.bool_:
        raise ValueError(
            f"the mask must be bool of shape {shape} (slices, rows, columns); it is {mask.dtype} of shape {mask.shape}"
        )
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Glioma",
        segmented_property_category=CATEGORY,
        segmented_property_type=NEOPLASM,
        algorithm_type="MANUAL" if by.algorithm is None else "AUTOMATIC",
        algorithm_identification=by.algorithm,
        tracking_uid=by.tracking_uid or _made_uid(),
        tracking_id="glioma",
    )
    segment.SegmentDescription = by.description
    with warnings.catch_warnings():
        # highdicom's warnings quote person names, which must not reach a log.
        warnings.simplefilter("ignore")
        written = hd.seg.Segmentation(
            source_images=[_header(ds) for ds in datasets],
            pixel_array=mask.astype(np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[segment],
            series_instance_uid=series_instance_uid or _made_uid(),
            series_number=by.series_number,
            sop_instance_uid=sop_instance_uid or _made_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=by.model[:64],
            software_versions=by.version[:64],
            device_serial_number="1",
            content_description=by.description,
            content_creator_name=by.annotator,
            content_label="GLIOMA",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=bool(mask.any()),
            series_description=by.series_description,
        )
    if by.at is not None:
        for name in ("InstanceCreation", "Series", "Content"):
            setattr(written, f"{name}Date", by.at.strftime("%Y%m%d"))
            setattr(written, f"{name}Time", by.at.strftime("%H%M%S"))
    part10 = io.BytesIO()
    written.save_as(part10, enforce_file_format=True)
    return part10.getvalue()


def _header(ds: Dataset) -> Dataset:
    """A copy without pixels, with the type 2 attributes that a de-identified source may lack."""
    header = copy.copy(ds)
    header._dict = {tag: element for tag, element in ds._dict.items() if not tag.is_private and tag != 0x7FE00010}
    for keyword in _TYPE_2:
        if keyword not in header:
            setattr(header, keyword, "")
    return header


def _led(banner: str, text: str) -> str:
    """The banner whole and as much of the text as a DICOM long string (64 characters) leaves room for."""
    return f"{banner}: {text}"[:64].rstrip(" :") if banner else text[:64]


def _made_uid() -> str:
    """A UID derived from a random UUID (PS3.5 section B.2)."""
    return f"2.25.{uuid.uuid4().int}"
