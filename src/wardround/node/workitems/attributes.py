"""A workitem's attributes in the DICOM JSON Model (PS3.18 Annex F; PS3.4 Table CC.2.5-3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from wardround.node.dicomweb.header import Json, tags

UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
"""The SOP Class of every workitem (PS3.4 CC.3.1)."""
SOP_CLASS, SOP_INSTANCE = tags("SOPClassUID", "SOPInstanceUID")
TRANSACTION_UID, STATE, PRIORITY, LABEL = tags(
    "TransactionUID", "ProcedureStepState", "ScheduledProcedureStepPriority", "ProcedureStepLabel"
)
WORKLIST_LABEL, READINESS, START, EXPECTED, MODIFIED = tags(
    "WorklistLabel",
    "InputReadinessState",
    "ScheduledProcedureStepStartDateTime",
    "ExpectedCompletionDateTime",
    "ScheduledProcedureStepModificationDateTime",
)
WORK_CODE, INPUT, PROGRESS, PERFORMED, REQUEST = tags(
    "ScheduledWorkitemCodeSequence",
    "InputInformationSequence",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
    "ReferencedRequestSequence",
)
ASSIGNED = tags("ScheduledStationNameCodeSequence")[0]
STATION, DONE_CODE, BEGUN, ENDED, OUTPUT = tags(
    "PerformedStationNameCodeSequence",
    "PerformedWorkitemCodeSequence",
    "PerformedProcedureStepStartDateTime",
    "PerformedProcedureStepEndDateTime",
    "OutputInformationSequence",
)
CANCELED_AT, REASON, REASON_CODE = tags(
    "ProcedureStepCancellationDateTime", "ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence"
)
CODE_VALUE, CODE_SCHEME, CODE_MEANING = tags("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
STUDY, SERIES, KIND, REFERENCED, OF_CLASS, OF_INSTANCE = tags(
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "TypeOfInstances",
    "ReferencedSOPSequence",
    "ReferencedSOPClassUID",
    "ReferencedSOPInstanceUID",
)
AFFECTED_CLASS, MESSAGE, AFFECTED_INSTANCE, EVENT_TYPE = "00000002", "00000110", "00001000", "00001002"
"""Attributes of an event report's message (PS3.7 Table 10.3-1)."""
REQUESTING, CONTACT_URI, CONTACT_NAME = tags("RequestingAE", "ContactURI", "ContactDisplayName")
HOW_FAR, HOW_FAR_IN_WORDS, HOW_FAR_BY, WHO_TO_ASK = tags(
    "ProcedureStepProgress",
    "ProcedureStepProgressDescription",
    "ProcedureStepProgressParametersSequence",
    "ProcedureStepCommunicationsURISequence",
)
PATIENT = tags("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
ACCESSION = tags("AccessionNumber")[0]


def one(vr: str, *values: Any) -> Json:
    """An attribute; with no value where none is given, or an empty one."""
    there = [value for value in values if value not in ("", None)]
    return {"vr": vr, "Value": there} if there else {"vr": vr}


def items(*of: Json) -> Json:
    return {"vr": "SQ", "Value": list(of)} if of else {"vr": "SQ"}


def coded(value: str, scheme: str, meaning: str) -> Json:
    return {CODE_VALUE: one("SH", value), CODE_SCHEME: one("SH", scheme), CODE_MEANING: one("LO", meaning)}


def station(code: Sequence[str] | None) -> Json:
    """A sequence of one code, or of none."""
    return items(coded(*code)) if code else items()


def moment(at: datetime | None) -> Json:
    return one("DT", None if at is None else f"{at:%Y%m%d%H%M%S}+0000")


def referenced(study: str, series: str, objects: Iterable[tuple[str, str]]) -> Json:
    """An item of the macro of referenced instances (PS3.3 Table 10-3b)."""
    told = [{OF_CLASS: one("UI", kind), OF_INSTANCE: one("UI", uid)} for kind, uid in objects]
    return {KIND: one("CS", "DICOM"), STUDY: one("UI", study), SERIES: one("UI", series), REFERENCED: items(*told)}
