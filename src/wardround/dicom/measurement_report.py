"""What a model measured, as a DICOM SR: Comprehensive 3D SR with TID 1500, Measurement Report (PS3.16; PS3.3 A.35.13).

It is what IHE's profile AI Results asks for, as far as a model here gives it (`docs/explanation/ai-results.md`).
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Sequence

import highdicom as hd
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from wardround.dicom.finding import OWN, Concept, Earlier, Finding, MadeBy, Measurement, coded
from wardround.dicom.result_object import ARTIFICIAL_INTELLIGENCE, code, part10
from wardround.dicom.source_header import led, made_uid
from wardround.dicom.source_series import SourceSeries, stands_for
from wardround.dicom.volume_refusal import Source

SERIES_NUMBER = 9002
_IMAGING_PROCEDURE = CodedConcept("363679005", "SCT", "Imaging procedure")
_PRESENT = CodedConcept("52101004", "SCT", "Present")
_ABSENT = CodedConcept("272519000", "SCT", "Absent")
_STAGE = CodedConcept("STAGE", OWN, "Stage of use")
_DIGITS = 6


def write_measurements(
    source_instances: Sequence[Source] | SourceSeries,
    finding: Finding,
    *,
    segmentation: Dataset | None,
    sop_instance_uid: str | None = None,
) -> bytes:
    """One Part 10 object (Explicit VR Little Endian): what was found, measured, by which model and in what.

    What was outlined has one tracking UID in the SEG and here. Whether it is there is a coded evaluation (CID 240), and
    the image library (TID 1600) names one image of the series that was read.

    The model is the observer, a device whose UID is made of its package's digest; the digest, its version and what ran
    it are parameters of the algorithm too (TID 4019). The report is complete, preliminary and unverified: a person has
    the last word. The stage's banner leads the series' description and is an evaluation of the finding. What was
    measured in an earlier study is a group of its own that names that study's image.

    Args:
        source_instances: the series that was read, whole.
        segmentation: the SEG in which the finding is segment 1; None where the model outlines nothing.

    Raises:
        VolumeRefused: the source is no regular series.
    """
    headers = SourceSeries.of(source_instances).headers
    by = finding.made_by
    with warnings.catch_warnings():
        # highdicom's warnings quote person names, which must not reach a log.
        warnings.simplefilter("ignore")
        report = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(
                observer_device_context=hd.sr.ObserverContext(
                    observer_type=CodedConcept("121007", "DCM", "Device"),
                    observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                        uid=uid_of_digest(by.digest),
                        name=by.name[:64],
                        manufacturer_name=by.manufacturer[:64],
                        model_name=f"{by.name} {by.version}"[:64],
                        serial_number=by.digest[:64],
                    ),
                )
            ),
            procedure_reported=_IMAGING_PROCEDURE,
            imaging_measurements=_groups(finding, headers, segmentation),
            referenced_images=[stands_for(headers)],
        )
        written = hd.sr.Comprehensive3DSR(
            evidence=[*headers, *([] if segmentation is None else [segmentation]), *_read_beside(finding)],
            content=report[0],
            series_instance_uid=made_uid(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=sop_instance_uid or made_uid(),
            instance_number=1,
            manufacturer=by.manufacturer[:64],
            is_complete=True,
            is_final=False,
            series_description=led(finding.banner, f"{finding.of.capitalize()}, measurements"),
        )
    written.ManufacturerModelName = by.name[:64]
    written.SoftwareVersions = [by.version[:64], by.software[:64]]
    written.DeviceSerialNumber = by.digest[:64] or "1"
    written.CodingSchemeIdentificationSequence = [_own_scheme()]
    written.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return part10(written, finding.at)


def uid_of_digest(digest: str) -> str:
    """A UID that stands for a model version for ever: of the first 128 bits of its digest, as a UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.UUID(hex=digest[:32].ljust(32, '0')).int}"


def _own_scheme() -> Dataset:
    """Which scheme it is whose codes no standard has (PS3.3 C.12.1.1.7)."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = OWN
    scheme.CodingSchemeName = "Concepts of Wardround, which mean what their meanings say"
    scheme.CodingSchemeResponsibleOrganization = "Wardround"
    return scheme


def _groups(finding: Finding, headers: Sequence[Dataset], segmentation: Dataset | None) -> list[Dataset]:
    """What was measured now and, where an earlier study was read beside it, then: of one thing, by its tracking UID."""
    tracking = made_uid() if segmentation is None else str(segmentation.SegmentSequence[0].TrackingUID)
    found = [_group(finding, headers, segmentation, tracking)]
    if finding.earlier is not None:
        found.append(_group_before(finding, finding.earlier, tracking))
    return found


def _group(finding: Finding, headers: Sequence[Dataset], segmentation: Dataset | None, tracking_uid: str) -> Dataset:
    category, kind = coded(finding.of)
    tracking = hd.sr.TrackingIdentifier(uid=tracking_uid, identifier=finding.of[:64])
    evaluations = [] if finding.marked is None else [_presence(kind, finding.marked)]
    if finding.banner:
        stage = CodedConcept("NOT-DIAGNOSTIC", OWN, finding.banner[:64])
        evaluations.append(hd.sr.QualitativeEvaluation(name=_STAGE, value=stage))
    common = {
        "tracking_identifier": tracking,
        "finding_type": code(kind),
        "finding_category": code(category),
        "measurements": [_measured(one) for one in finding.measurements],
        "qualitative_evaluations": evaluations or None,
        "algorithm_id": _algorithm(finding.made_by),
        "time_point_context": None if finding.earlier is None else hd.sr.TimePointContext("Now"),
    }
    if segmentation is None:
        image = hd.sr.SourceImageForMeasurementGroup.from_source_image(stands_for(headers))
        whole: Dataset = hd.sr.MeasurementsAndQualitativeEvaluations(source_images=[image], **common)
        return whole
    segment = hd.sr.ReferencedSegment(
        sop_class_uid=str(segmentation.SOPClassUID),
        sop_instance_uid=str(segmentation.SOPInstanceUID),
        segment_number=1,
        source_series=hd.sr.SourceSeriesForSegmentation(referenced_series_instance_uid=headers[0].SeriesInstanceUID),
    )
    group: Dataset = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **common)
    return group


def _presence(kind: Concept, marked: bool) -> hd.sr.QualitativeEvaluation:
    return hd.sr.QualitativeEvaluation(name=code(kind), value=_PRESENT if marked else _ABSENT)


def _group_before(finding: Finding, earlier: Earlier, tracking_uid: str) -> Dataset:
    """What the same model measured in the earlier study: the image names it, and a time point (TID 1502) says when."""
    category, kind = coded(finding.of)
    group: Dataset = hd.sr.MeasurementsAndQualitativeEvaluations(
        source_images=[
            hd.sr.SourceImageForMeasurementGroup(
                referenced_sop_class_uid=earlier.sop_class, referenced_sop_instance_uid=earlier.sop_instance
            )
        ],
        tracking_identifier=hd.sr.TrackingIdentifier(uid=tracking_uid, identifier=finding.of[:64]),
        time_point_context=hd.sr.TimePointContext(f"{earlier.days} days before"),
        finding_type=code(kind),
        finding_category=code(category),
        measurements=[_measured(one) for one in earlier.measurements],
        algorithm_id=_algorithm(finding.made_by),
    )
    return group


def _read_beside(finding: Finding) -> list[Dataset]:
    """The image of the earlier study, as the evidence lists it (Pertinent Other Evidence Sequence)."""
    earlier = finding.earlier
    if earlier is None:
        return []
    image = Dataset()
    image.StudyInstanceUID, image.SeriesInstanceUID = earlier.study, earlier.series
    image.SOPClassUID, image.SOPInstanceUID = earlier.sop_class, earlier.sop_instance
    return [image]


def _algorithm(by: MadeBy) -> hd.sr.AlgorithmIdentification:
    return hd.sr.AlgorithmIdentification(
        name=by.name[:64],
        version=by.version[:64],
        parameters=[f"digest={by.digest}", f"software={by.software}"],
        family=ARTIFICIAL_INTELLIGENCE,
        manufacturer=by.manufacturer[:64],
    )


def _measured(one: Measurement) -> Dataset:
    # A decimal string has 16 characters at most (VR DS).
    value = float(f"{one.value:.{_DIGITS}g}")
    measured: Dataset = hd.sr.Measurement(name=code(one.concept), value=value, unit=code(one.unit))
    return measured
