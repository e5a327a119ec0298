"""A demonstration patient: an image, a reference mask and an invented identity, and the DICOM made of them.

The image is written as a classic MR Image Storage series (DICOM PS3.3 section A.4), one slice an
instance, Explicit VR Little Endian; the mask as a DICOM SEG of algorithm type MANUAL.
"""

import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from wardround.demo.identities import Identity

ISSUER = "NHS"
"""Issuer of Patient ID (0010,0021)."""
_PRIVATE_CREATOR = "ACME MR HEADER 1.0"


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the headers say of the scanner; times in milliseconds, field strength in tesla."""

    manufacturer: str
    model: str
    field_strength: float
    repetition_time: float = 9000.0
    echo_time: float = 120.0
    inversion_time: float = 2500.0
    software: str = "R4.2"


@dataclass(frozen=True, slots=True)
class DemoPatient:
    """One patient with one FLAIR series.

    hospital: the site code. key: names the patient within the demonstration alone and is never written into DICOM.
    image: float32 (Z, Y, X) of whole numbers from 0 to 65535. mask: bool (Z, Y, X), the lesion.
    affine: float64 (4, 4), maps the array index (z, y, x, 1) to LPS millimetres; its axes are at right angles and
        its first axis is the normal of the slices, so that `read_volume` gives the slices back in this order.
    """

    hospital: str
    key: str
    identity: Identity
    equipment: Equipment
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres along (z, y, x)."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)


class DemoHospital(Protocol):
    """Where a demonstration's patients come from, one at a time.

    code: lower case letters, digits and hyphens, unique among the hospitals. keys: every patient. clinic_key: the
    one among them to hold back where a study is wanted that took no part in training.
    """

    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def keys(self) -> tuple[str, ...]: ...
    @property
    def clinic_key(self) -> str: ...
    def patient(self, key: str) -> DemoPatient: ...


def clinic_patient(hospital: DemoHospital) -> DemoPatient:
    """The patient to hold back for the clinic: the same one each time, with a lesion of about median size."""
    return hospital.patient(hospital.clinic_key)


class StudyInstances(NamedTuple):
    """A patient's study as Part 10 objects: the slices in the order of the first axis, and the segmentation."""

    slices: list[bytes]
    segmentation: bytes


def axial_affine(spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """The affine of axial slices from the feet up, rows from front to back, centred on the origin (LPS, mm).

    spacing and shape run along (z, y, x).
    """
    affine = np.zeros((4, 4))
    for array_axis, patient_axis in enumerate((2, 1, 0)):
        affine[patient_axis, array_axis] = spacing[array_axis]
        affine[patient_axis, 3] = -spacing[array_axis] * (shape[array_axis] - 1) / 2
    affine[3, 3] = 1
    return affine


def to_dicom(patient: DemoPatient) -> StudyInstances:
    """The patient's series and reference segmentation; the same patient gives the same slices and mask."""
    from wardround.dicom.segmentation import write_annotation  # heavy, and of no use to who only makes slices

    slices = mr_slices(patient)
    identity = patient.identity
    drawn_at = datetime.combine(identity.study_date, identity.study_time) + timedelta(hours=2)
    segmentation = write_annotation(
        [pydicom.dcmread(io.BytesIO(part10), stop_before_pixels=True) for part10 in slices],
        patient.mask,
        annotator=identity.referring_physician,
        series_instance_uid=identity.segmentation_series_uid,
        sop_instance_uid=identity.uid(1, 2, 1),
        tracking_uid=identity.uid(1, 2, 2),
        at=drawn_at,
    )
    return StudyInstances(slices, segmentation)


def mr_slices(patient: DemoPatient) -> list[bytes]:
    """The series as Part 10 objects, in the order of the image's first axis."""
    pixels = _whole_numbers(patient.image)
    template = _template(patient, pixels)
    affine, spacing = patient.affine, patient.spacing
    normal = affine[:3, 0] / spacing[0]
    slices = []
    for index in range(len(pixels)):
        uid = UID(patient.identity.uid(1, 1, index + 1))
        position = affine[:3, 3] + affine[:3, 0] * index
        template.file_meta.MediaStorageSOPInstanceUID = uid
        template.SOPInstanceUID = uid
        template.InstanceNumber = index + 1
        template.ImagePositionPatient = [_decimal(value) for value in position]
        template.SliceLocation = _decimal(float(position @ normal))
        template["PixelData"].value = pixels[index].tobytes()
        part10 = io.BytesIO()
        pydicom.dcmwrite(part10, template, enforce_file_format=True)
        slices.append(part10.getvalue())
    return slices


def _whole_numbers(image: NDArray[np.float32]) -> NDArray[np.uint16]:
    if image.ndim != 3 or not np.isfinite(image).all() or image.min() < 0 or image.max() > 65535:
        raise ValueError("a patient's image must be (Z, Y, X) of finite numbers from 0 to 65535")
    return np.rint(image).astype("<u2")


def _decimal(value: float) -> str:
    """A number as a DICOM decimal string (at most 16 characters)."""
    return f"{value:.5f}".rstrip("0").rstrip(".") if abs(value) > 5e-6 else "0"


def _template(patient: DemoPatient, pixels: NDArray[np.uint16]) -> Dataset:
    """A whole instance but for what differs from slice to slice; read back, so that only that is encoded again."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = UID(patient.identity.uid(0))
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.SourceApplicationEntityTitle = "MRSCANNER"
    _add_patient_and_study(ds, patient.identity)
    _add_equipment(ds, patient)
    _add_image(ds, patient, pixels)
    part10 = io.BytesIO()
    pydicom.dcmwrite(part10, ds, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(part10.getvalue()))


def _add_patient_and_study(ds: Dataset, who: Identity) -> None:
    if who.character_set:
        ds.SpecificCharacterSet = who.character_set
    ds.PatientName = who.name
    ds.PatientID = who.patient_id
    ds.IssuerOfPatientID = ISSUER
    ds.PatientBirthDate = who.birth_date.strftime("%Y%m%d")
    ds.PatientSex = who.sex
    if who.age is not None:
        ds.PatientAge = f"{who.age:03d}Y"
    ds.PatientAddress = who.address
    ds.PatientTelephoneNumbers = who.telephone
    ds.PatientComments = who.comments
    ds.OtherPatientIDsSequence = Sequence([Dataset()])
    ds.OtherPatientIDsSequence[0].PatientID = who.other_patient_id
    ds.OtherPatientIDsSequence[0].TypeOfPatientID = "TEXT"
    ds.StudyInstanceUID = who.study_instance_uid
    ds.StudyID = who.study_id
    ds.AccessionNumber = who.accession
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = who.study_date.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = who.study_time.strftime("%H%M%S")
    ds.ReferringPhysicianName = who.referring_physician
    ds.OperatorsName = who.operator
    ds.StudyDescription = "MRI head"
    request = Dataset()
    request.RequestedProcedureID = who.accession
    request.RequestedProcedureDescription = "MRI head with contrast"
    request.ReasonForTheRequestedProcedure = who.request_text
    request.ScheduledProcedureStepID = who.accession
    protocol = _code("MRHEAD", "99LOCAL", "MRI head")
    context = Dataset()
    context.ValueType = "TEXT"
    context.ConceptNameCodeSequence = Sequence([_code("REASON", "99LOCAL", "Reason as told")])
    context.TextValue = who.request_text
    protocol.ProtocolContextSequence = Sequence([context])
    request.ScheduledProtocolCodeSequence = Sequence([protocol])
    ds.RequestAttributesSequence = Sequence([request])
    private = ds.private_block(0x0029, _PRIVATE_CREATOR, create=True)
    inner = Dataset()
    inner.private_block(0x0029, _PRIVATE_CREATOR, create=True).add_new(0x11, "LO", who.patient_id)
    private.add_new(0x10, "LT", who.private_text)
    private.add_new(0x20, "SQ", Sequence([inner]))


def _add_equipment(ds: Dataset, patient: DemoPatient) -> None:
    scanner, who = patient.equipment, patient.identity
    ds.Manufacturer = scanner.manufacturer
    ds.ManufacturerModelName = scanner.model
    ds.SoftwareVersions = scanner.software
    ds.DeviceSerialNumber = who.device_serial
    ds.StationName = who.device_serial[-16:]
    ds.InstitutionName = who.institution
    ds.InstitutionAddress = who.institution_address
    ds.InstitutionalDepartmentName = "Neuroradiology"
    ds.MagneticFieldStrength = _decimal(scanner.field_strength)
    ds.RepetitionTime = _decimal(scanner.repetition_time)
    ds.EchoTime = _decimal(scanner.echo_time)
    ds.InversionTime = _decimal(scanner.inversion_time)
    ds.EchoTrainLength = 16
    ds.ScanningSequence = ["SE", "IR"]
    ds.SequenceVariant = "SK"
    ds.ScanOptions = ""
    ds.MRAcquisitionType = "2D"


def _add_image(ds: Dataset, patient: DemoPatient, pixels: NDArray[np.uint16]) -> None:
    affine, spacing = patient.affine, patient.spacing
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = patient.identity.uid(0)
    ds.SeriesInstanceUID = patient.identity.series_instance_uid
    ds.SeriesNumber = 3
    ds.SeriesDescription = "Ax T2 FLAIR"
    ds.ProtocolName = "Head FLAIR axial"
    ds.Modality = "MR"
    ds.BodyPartExamined = "HEAD"
    ds.PatientPosition = "HFS"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.FrameOfReferenceUID = patient.identity.uid(2)
    ds.PositionReferenceIndicator = ""
    anatomy = _code("69536005", "SCT", "Head")
    if patient.identity.nested_canary:
        modifier = _code("24028007", "SCT", "Right")
        modifier.OperatorsName = modifier.InstitutionName = patient.identity.nested_canary
        modifier.PatientComments = patient.identity.nested_canary
        anatomy.AnatomicRegionModifierSequence = Sequence([modifier])
    ds.AnatomicRegionSequence = Sequence([anatomy])
    ds.AcquisitionNumber = 1
    ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(spacing[0])
    ds.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[2])]
    along = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
    ds.ImageOrientationPatient = [_decimal(value) for value in np.concatenate(along)]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[1:]
    ds.BitsAllocated = 16
    ds.BitsStored = 12 if pixels.max() < 4096 else 16
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = 0
    ds.add_new("PixelData", "OW", b"")
    ds.WindowCenter = _decimal(float(pixels.max()) / 2)
    ds.WindowWidth = _decimal(max(1.0, float(pixels.max())))


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
