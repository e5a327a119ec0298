"""One page on what a model found, as a document beside the images: an Encapsulated PDF (PS3.3 A.45.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from wardround.dicom.capture import key_image, outlined
from wardround.dicom.finding import Concept, Finding
from wardround.dicom.page import Line, write_page
from wardround.dicom.result_object import code, part10
from wardround.dicom.source_header import led, made_uid
from wardround.dicom.source_series import SourceSeries
from wardround.dicom.volume_refusal import Source

SERIES_NUMBER = 9004
_TITLE = Concept("126000", "DCM", "Imaging Measurement Report")
_RED = (0.75, 0.0, 0.0)
_OF_THE_STUDY = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def write_summary(
    source_instances: Sequence[Source] | SourceSeries,
    mask: NDArray[np.bool_] | None,
    finding: Finding,
    *,
    sop_instance_uid: str | None = None,
) -> bytes:
    """One Part 10 object (Explicit VR Little Endian): the stage's banner, what was found and measured, the slice with
    most of it, and the model that says so. No identifier of the patient is on the page.

    Args:
        mask: bool (Z, Y, X) on the grid of the source; None, or empty, shows the middle slice.

    Raises:
        VolumeRefused: the source is no regular series.
    """
    image, marked, header = key_image(SourceSeries.of(source_instances), mask)
    page, by = _page(outlined(image, marked), finding), finding.made_by
    written = Dataset()
    for keyword in _OF_THE_STUDY:
        if keyword in header:
            written[keyword] = header[keyword]
    written.SOPClassUID = EncapsulatedPDFStorage
    written.SOPInstanceUID = sop_instance_uid or made_uid()
    written.SeriesInstanceUID = made_uid()
    written.SeriesNumber, written.InstanceNumber = SERIES_NUMBER, 1
    written.Modality, written.ConversionType = "DOC", "WSD"
    written.SeriesDescription = led(finding.banner, f"{finding.of.capitalize()}, summary")
    written.Manufacturer, written.ManufacturerModelName = by.manufacturer[:64], by.name[:64]
    written.SoftwareVersions, written.DeviceSerialNumber = by.version[:64], by.digest[:64] or "1"
    written.AcquisitionDateTime = ""
    written.BurnedInAnnotation, written.VerificationFlag = "NO", "UNVERIFIED"
    written.DocumentTitle = led(finding.banner, finding.words)
    written.ConceptNameCodeSequence = [code(_TITLE)]
    written.SourceInstanceSequence = [_reference(header)]
    written.MIMETypeOfEncapsulatedDocument = "application/pdf"
    written.EncapsulatedDocumentLength = len(page)
    written.EncapsulatedDocument = page + b"\0" * (len(page) % 2)
    written.file_meta = FileMetaDataset()
    written.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return part10(written, finding.at)


def _page(picture: NDArray[np.uint8], finding: Finding) -> bytes:
    by = finding.made_by
    above = [Line(finding.banner, 14, bold=True, colour=_RED)] if finding.banner else []
    above += [Line(finding.of.capitalize(), 16, bold=True), Line(finding.words, 12)]
    above += [Line(f"{one.concept.meaning}: {one.value:.6g} {one.unit.value}") for one in finding.measurements]
    below = [
        Line("Made by a program, and verified by nobody.", bold=True),
        Line(f"Model: {by.name} {by.version}, by {by.manufacturer}"),
        Line(f"Digest: {by.digest}", 9),
        Line(f"Run by: {by.software}", 9),
        Line(f"Read at: {finding.at:%Y-%m-%d %H:%M} {finding.at.tzname() or ''}".rstrip(), 9),
    ]
    return write_page(led(finding.banner, finding.of.capitalize()), above, picture, below)


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item
