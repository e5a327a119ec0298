"""The finding record of one reading: what FHIR and HL7 messages are made of when they are sent."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError
from pydicom.dataset import Dataset

from wardround.dicom.finding import Finding
from wardround.dicom.source_header import header_of


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom and what it is about, as the source image says it: texts as they are, empty where it says nothing.

    name: in DICOM's form, components apart by `^`. dates and times: in DICOM's forms.
    """

    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    name: str = field(repr=False)
    birth_date: str = field(repr=False)
    sex: str = field(repr=False)
    accession: str = field(repr=False)
    study: str = field(repr=False)
    study_date: str = field(repr=False)
    study_time: str = field(repr=False)
    study_description: str = field(repr=False)
    series: str = field(repr=False)
    modality: str
    images: int


@dataclass(frozen=True, slots=True)
class Made:
    """A DICOM object that the reading gave."""

    modality: str
    sop_class: str
    sop_instance: str = field(repr=False)
    series: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    subject: Subject
    finding: Finding
    made: tuple[Made, ...]


_RECORD = TypeAdapter(Record)


class RecordDamaged(Exception):
    """The file of a record isn't one."""


def subject_of(image: Dataset, images: int) -> Subject:
    """Of one of the images of the series that was read."""
    header = header_of(image)

    def said(keyword: str) -> str:
        return str(header.get(keyword, "") or "").strip()

    return Subject(
        patient_id=said("PatientID"),
        issuer=said("IssuerOfPatientID"),
        name=said("PatientName").split("=")[0],
        birth_date=said("PatientBirthDate"),
        sex=said("PatientSex"),
        accession=said("AccessionNumber"),
        study=said("StudyInstanceUID"),
        study_date=said("StudyDate"),
        study_time=said("StudyTime"),
        study_description=said("StudyDescription"),
        series=said("SeriesInstanceUID"),
        modality=said("Modality"),
        images=images,
    )


def to_bytes(record: Record) -> bytes:
    return _RECORD.dump_json(record)


def from_bytes(data: bytes) -> Record:
    """Raises `RecordDamaged` where it is none."""
    try:
        return _RECORD.validate_json(data)
    except ValidationError:
        raise RecordDamaged("the record of a finding can't be read") from None
