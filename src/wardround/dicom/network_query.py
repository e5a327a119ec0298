"""Asks a PACS what it has: C-FIND as SCU at study, series and instance level (PS3.4 Annex C).

The Study Root model is used; the Patient Root model where the PACS offers that alone. A key is matched as a single
value: characters that would match more than themselves are refused, and an answer that a PACS gives beside the
question is dropped, since it may be another patient's.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from wardround.dicom.damage import DAMAGE
from wardround.dicom.network_messages import Peer
from wardround.dicom.network_query_association import Stop, conversation, read_identifier
from wardround.dicom.network_query_status import PENDING, SUCCESS, KeyRefused, TooManyAnswers, failure

MOST_ANSWERS = 20_000
UNICODE = "ISO_IR 192"
_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_LONGEST = {"AccessionNumber": 16, "PatientID": 64, "StudyInstanceUID": 64, "SeriesInstanceUID": 64}
_STUDY_FIELDS = (
    "StudyInstanceUID",
    "AccessionNumber",
    "PatientID",
    "IssuerOfPatientID",
    "PatientSex",
    "PatientBirthDate",
    "StudyDate",
    "ModalitiesInStudy",
    "SOPClassesInStudy",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
)
_SERIES_FIELDS = (
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "BodyPartExamined",
    "NumberOfSeriesRelatedInstances",
)
_INSTANCE_FIELDS = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber")

Dates = tuple[date | None, date | None]
"""First and last day of Study Date, both included; None where that end is open (range matching, PS3.4 C.2.2.2.5)."""


class QueryRoot(StrEnum):
    """The information model to ask in; `ANY` is Study Root, or Patient Root where the PACS has only that."""

    ANY = "any"
    STUDY = "study"
    PATIENT = "patient"


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study as the PACS describes it. What it left out is empty or None.

    `instances` is Number of Study Related Instances (0020,1208). `repr` shows no identifier.
    """

    study_uid: str = field(repr=False)
    accession: str = field(repr=False)
    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    sex: str
    birth_date: date | None = field(repr=False)
    study_date: date | None = field(repr=False)
    modalities: tuple[str, ...]
    sop_classes: tuple[str, ...]
    series: int | None
    instances: int | None


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series as the PACS describes it. `instances` is Number of Series Related Instances (0020,1209)."""

    series_uid: str = field(repr=False)
    modality: str
    number: int | None
    body_part: str
    instances: int | None


@dataclass(frozen=True, slots=True)
class FoundInstance:
    sop_uid: str = field(repr=False)
    sop_class: str
    number: int | None


def studies_at(
    peer: Peer,
    calling_ae: str,
    *,
    study_uid: str | None = None,
    accession: str | None = None,
    patient_id: str | None = None,
    dates: Dates | None = None,
    modality: str | None = None,
    sex: str | None = None,
    root: QueryRoot = QueryRoot.ANY,
    tls: ssl.SSLContext | None = None,
    charset: str = UNICODE,
    cancelled: Stop = lambda: False,
) -> list[FoundStudy]:
    """The studies at `peer` that meet all the keys given, in its order.

    Args:
        calling_ae: the AE title to call from.
        charset: Specific Character Set (0008,0005) of keys that aren't plain ASCII.
        cancelled: see `Stop`.

    Raises:
        KeyRefused: no key is given, or one can't be asked for.
        PeerUnreachable, AssociationRefused: no association.
        QueryFailed: the PACS didn't answer to the end; the subclass says how.
    """
    wanted = {"StudyInstanceUID": study_uid, "AccessionNumber": accession, "PatientID": patient_id}
    keys = {name: single_value(name, value) for name, value in wanted.items() if value is not None}
    if not keys and dates is None:
        raise KeyRefused("a query for studies needs an identifier or dates; without them it asks for the whole archive")
    query = _query("STUDY", _STUDY_FIELDS, keys, charset)
    if dates is not None:
        query.StudyDate = _range(dates)
    if modality is not None:
        query.ModalitiesInStudy = modality
    if sex is not None:
        query.PatientSex = sex
    found = []
    for answer in _answers(peer, calling_ae, query, root, tls, cancelled):
        study = _study(answer)
        given = {
            "StudyInstanceUID": study.study_uid,
            "AccessionNumber": study.accession,
            "PatientID": study.patient_id,
        }
        asked_for = all(given[name] == value for name, value in keys.items())
        if modality is not None and study.modalities and modality not in study.modalities:
            asked_for = False
        if sex is not None and study.sex and study.sex != sex:
            asked_for = False
        if dates is not None and study.study_date is not None and not _within(study.study_date, dates):
            asked_for = False
        if asked_for and study.study_uid:
            found.append(study)
    return found


def series_at(
    peer: Peer,
    calling_ae: str,
    study_uid: str,
    *,
    patient_id: str = "",
    root: QueryRoot = QueryRoot.ANY,
    tls: ssl.SSLContext | None = None,
    cancelled: Stop = lambda: False,
) -> list[FoundSeries]:
    """The series of one study. `patient_id` is what a strict Patient Root PACS wants to know as well.

    Raises:
        As `studies_at`.
    """
    keys = {"StudyInstanceUID": single_value("StudyInstanceUID", study_uid)}
    query = _query("SERIES", _SERIES_FIELDS, keys, UNICODE)
    query.PatientID = patient_id
    return [
        FoundSeries(
            series_uid=_text(answer, "SeriesInstanceUID"),
            modality=_text(answer, "Modality"),
            number=_number(answer, "SeriesNumber"),
            body_part=_text(answer, "BodyPartExamined"),
            instances=_number(answer, "NumberOfSeriesRelatedInstances"),
        )
        for answer in _answers(peer, calling_ae, query, root, tls, cancelled)
        if _text(answer, "SeriesInstanceUID") and _text(answer, "StudyInstanceUID") in ("", study_uid)
    ]


def instances_at(
    peer: Peer,
    calling_ae: str,
    study_uid: str,
    series_uid: str,
    *,
    patient_id: str = "",
    root: QueryRoot = QueryRoot.ANY,
    tls: ssl.SSLContext | None = None,
    cancelled: Stop = lambda: False,
) -> list[FoundInstance]:
    """The instances of one series.

    Raises:
        As `studies_at`.
    """
    keys = {
        "StudyInstanceUID": single_value("StudyInstanceUID", study_uid),
        "SeriesInstanceUID": single_value("SeriesInstanceUID", series_uid),
    }
    query = _query("IMAGE", _INSTANCE_FIELDS, keys, UNICODE)
    query.PatientID = patient_id
    return [
        FoundInstance(
            sop_uid=_text(answer, "SOPInstanceUID"),
            sop_class=_text(answer, "SOPClassUID"),
            number=_number(answer, "InstanceNumber"),
        )
        for answer in _answers(peer, calling_ae, query, root, tls, cancelled)
        if _text(answer, "SOPInstanceUID") and _text(answer, "SeriesInstanceUID") in ("", series_uid)
    ]


def verify(peer: Peer, calling_ae: str, *, tls: ssl.SSLContext | None = None) -> None:
    """Have `peer` take an association for verification (PS3.4 Annex A), and release it.

    Raises:
        PeerUnreachable, AssociationRefused: it doesn't.
    """
    with conversation(peer, calling_ae, [build_context(Verification, _SYNTAXES)], tls=tls):
        pass


def single_value(keyword: str, value: str) -> str:
    """`value` without the spaces around it, once it can stand for itself alone in a query (PS3.4 C.2.2.2.1).

    Raises:
        KeyRefused: it is empty, too long for its VR, or holds a wild card, a backslash or a control character.
    """
    value = value.strip()
    longest = _LONGEST[keyword]
    if not value:
        raise KeyRefused(f"{keyword} is empty; give a value")
    if len(value) > longest:
        raise KeyRefused(f"{keyword} is longer than {longest} characters; correct it")
    if any(letter in "*?\\" or not letter.isprintable() for letter in value):
        raise KeyRefused(f"{keyword} holds one of * ? \\ or a control character; give one plain value")
    if keyword.endswith("UID") and not set(value) <= set("0123456789."):
        raise KeyRefused(f"{keyword} is not a UID: digits and dots only")
    return value


def _query(level: str, fields: Sequence[str], keys: dict[str, str], charset: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in fields:
        setattr(query, keyword, None)
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    if any(not value.isascii() for value in keys.values()):
        query.SpecificCharacterSet = charset
    return query


def _answers(
    peer: Peer,
    calling_ae: str,
    query: Dataset,
    root: QueryRoot,
    tls: ssl.SSLContext | None,
    cancelled: Stop,
) -> Iterator[Dataset]:
    models = models_of(root, StudyRootQueryRetrieveInformationModelFind, PatientRootQueryRetrieveInformationModelFind)
    contexts = [build_context(model, _SYNTAXES) for model in models]
    with conversation(peer, calling_ae, contexts, tls=tls) as peer_says:
        context = peer_says.context(*models)
        count = 0
        for message, _ in peer_says.ask(C_FIND(), context, query, cancelled=cancelled):
            if not isinstance(message, C_FIND) or message.Status is None:
                continue
            status = int(message.Status)
            if status == SUCCESS:
                return
            if status not in PENDING:
                raise failure(status)
            count += 1
            if count > MOST_ANSWERS:
                raise TooManyAnswers(f"more than {MOST_ANSWERS} answers to one question; narrow its dates")
            try:
                yield read_identifier(message.Identifier, context.transfer_syntax[0])
            except DAMAGE:
                continue


def models_of(root: QueryRoot, study: str, patient: str) -> list[str]:
    """The SOP classes to propose for `root`, the one to prefer first."""
    return {QueryRoot.ANY: [study, patient], QueryRoot.STUDY: [study], QueryRoot.PATIENT: [patient]}[root]


def _study(answer: Dataset) -> FoundStudy:
    return FoundStudy(
        study_uid=_text(answer, "StudyInstanceUID"),
        accession=_text(answer, "AccessionNumber"),
        patient_id=_text(answer, "PatientID"),
        issuer=_text(answer, "IssuerOfPatientID"),
        sex=_text(answer, "PatientSex"),
        birth_date=_date(_text(answer, "PatientBirthDate")),
        study_date=_date(_text(answer, "StudyDate")),
        modalities=_texts(answer, "ModalitiesInStudy"),
        sop_classes=_texts(answer, "SOPClassesInStudy"),
        series=_number(answer, "NumberOfStudyRelatedSeries"),
        instances=_number(answer, "NumberOfStudyRelatedInstances"),
    )


def _range(dates: Dates) -> str:
    first, last = dates
    if first is None and last is None:
        raise KeyRefused("the dates of a query need a first or a last day")
    return "-".join("" if day is None else f"{day:%Y%m%d}" for day in dates)


def _within(day: date, dates: Dates) -> bool:
    first, last = dates
    return (first is None or day >= first) and (last is None or day <= last)


def _texts(answer: Dataset, keyword: str) -> tuple[str, ...]:
    """The values as text. pydicom's own conversion would warn of a malformed one by quoting it."""
    try:
        element = answer.get_item(keyword)
        value = element.value if isinstance(element, RawDataElement) else None
        if not isinstance(value, bytes):
            return ()
        charset = answer.get("SpecificCharacterSet")
        text = decode_bytes(value, convert_encodings(charset), {"\\"})
    except DAMAGE:
        return ()
    return tuple(part for part in (part.strip(" \0") for part in text.split("\\")) if part)


def _text(answer: Dataset, keyword: str) -> str:
    found = _texts(answer, keyword)
    return found[0] if len(found) == 1 else ""


def _number(answer: Dataset, keyword: str) -> int | None:
    text = _text(answer, keyword)
    return int(text) if text.isascii() and text.isdigit() else None


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])) if len(text) == 8 else None
    except ValueError:
        return None
