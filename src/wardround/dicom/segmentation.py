"""Segmentations as DICOM SEG objects of type BINARY: written with highdicom, read with pydicom alone.

Implements the Segmentation IOD, DICOM PS3.3 sections A.51 and C.8.20, with one segment, coded by category and type
(PS3.16 CID 7150 and 7151). Masks are bool (Z, Y, X) on the grid of
`wardround.dicom.volume.read_volume` for the segmented series, whatever the order the instances are given in.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from wardround.dicom.finding import MORPHOLOGY, NEOPLASM, Concept
from wardround.dicom.result_object import ARTIFICIAL_INTELLIGENCE, code, part10
from wardround.dicom.segmentation_reading import (
    SegmentationReason,
    SegmentationRefused,
    read_segmentation,
    referenced_series_uid,
)
from wardround.dicom.source_header import led, made_uid
from wardround.dicom.source_series import SourceSeries
from wardround.dicom.volume_refusal import Source

__all__ = [
    "SegmentationReason",
    "SegmentationRefused",
    "read_segmentation",
    "referenced_series_uid",
    "write_annotation",
    "write_segmentation",
]

MANUFACTURER = "Wardround"
GLIOMA = "Glioma"


def write_segmentation(
    source_instances: Sequence[Source] | SourceSeries,
    mask: NDArray[np.bool_],
    *,
    model_name: str,
    model_version: str,
    model_digest: str | None = None,
    banner: str = "",
    label: str = GLIOMA,
    coded: tuple[Concept, Concept] = (MORPHOLOGY, NEOPLASM),
    series_description: str = "",
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
    series_number: int = 9001,
    at: datetime | None = None,
) -> bytes:
    """What a model found, as one Part 10 object (Explicit VR Little Endian).

    banner: text on the stage of the model, such as "Shadow: not for diagnostic use"; it leads the descriptions of
        the series, the content and the segment, where viewers show it.
    label, coded: what the segment is, in words, and its category and type.
    series_description: of the label, where none is given.
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
            label=label,
            coded=coded,
            series_description=led(banner, series_description or f"{label}, automatic segmentation"),
            description=led(banner, f"{model_name} {model_version}"),
            series_number=series_number,
            at=at,
        ),
        series_instance_uid,
        sop_instance_uid,
    )


def write_annotation(
    source_instances: Sequence[Source] | SourceSeries,
    mask: NDArray[np.bool_],
    *,
    annotator: str | None = None,
    assisted_by: str | None = None,
    label: str = GLIOMA,
    coded: tuple[Concept, Concept] = (MORPHOLOGY, NEOPLASM),
    series_description: str = "Glioma, reference segmentation",
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
    tracking_uid: str | None = None,
    series_number: int = 9000,
    at: datetime | None = None,
) -> bytes:
    """What a person drew (segment algorithm type MANUAL), otherwise as `write_segmentation`.

    annotator: the name of the person, as a DICOM person name; left out where None.
    assisted_by: what helped them, which makes the segment SEMIAUTOMATIC. label: what the segment is called; coded: as
        of `write_segmentation`.
    tracking_uid: identifies this lesion across objects; made where not given.
    """
    authorship = _Authorship(
        algorithm=None
        if assisted_by is None
        else hd.AlgorithmIdentificationSequence(
            name=assisted_by[:64], family=ARTIFICIAL_INTELLIGENCE, version="1", source=MANUFACTURER
        ),
        label=label,
        coded=coded,
        by_person=True,
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
    label: str
    coded: tuple[Concept, Concept]
    series_description: str
    description: str
    series_number: int
    at: datetime | None
    annotator: str | None = None
    tracking_uid: str | None = None
    by_person: bool = False

    @property
    def algorithm_type(self) -> str:
        """Segment Algorithm Type (0062,0008), PS3.3 C.8.20.4."""
        if not self.by_person:
            return "AUTOMATIC"
        return "MANUAL" if self.algorithm is None else "SEMIAUTOMATIC"


def _write(
    source_instances: Sequence[Source] | SourceSeries,
    mask: NDArray[np.bool_],
    by: _Authorship,
    series_instance_uid: str | None,
    sop_instance_uid: str | None,
) -> bytes:
    series = SourceSeries.of(source_instances)
    shape = series.shape
    if mask.shape != shape or mask.dtype != np.bool_:
        raise ValueError(
            f"the mask must be bool of shape {shape} (slices, rows, columns); it is {mask.dtype} of shape {mask.shape}"
        )
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=by.label[:64],
        segmented_property_category=code(by.coded[0]),
        segmented_property_type=code(by.coded[1]),
        algorithm_type=by.algorithm_type,
        algorithm_identification=by.algorithm,
        tracking_uid=by.tracking_uid or made_uid(),
        tracking_id=by.label.lower()[:64],
    )
    segment.SegmentDescription = by.description
    with warnings.catch_warnings():
        # highdicom's warnings quote person names, which must not reach a log.
        warnings.simplefilter("ignore")
        written = hd.seg.Segmentation(
            source_images=series.headers,
            pixel_array=mask.astype(np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[segment],
            series_instance_uid=series_instance_uid or made_uid(),
            series_number=by.series_number,
            sop_instance_uid=sop_instance_uid or made_uid(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=by.model[:64],
            software_versions=by.version[:64],
            device_serial_number="1",
            content_description=by.description,
            content_creator_name=by.annotator,
            content_label=_content_label(by.label),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=bool(mask.any()),
            series_description=by.series_description,
        )
    return part10(written, by.at)


def _content_label(label: str) -> str:
    """A code string (VR CS, at most 16 characters)."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in label.upper())[:16]
