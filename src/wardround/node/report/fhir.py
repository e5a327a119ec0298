"""A finding as FHIR R4: DiagnosticReport, Observations, ImagingStudy and Device in one transaction bundle.

Source: HL7 FHIR R4 (4.0.1): bundle.html#transaction, diagnosticreport.html, observation.html, imagingstudy.html,
device.html; the identifier of an imaging study is its UID as `urn:oid:` in the system `urn:dicom:uid`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from wardround.dicom.finding import OWN, Concept, Measurement
from wardround.node.report.record import Record, Subject

_SYSTEMS = MappingProxyType(
    {
        "SCT": "http://snomed.info/sct",
        "DCM": "http://dicom.nema.org/resources/ontology/DCM",
        "UCUM": "http://unitsofmeasure.org",
        OWN: "urn:wardround:concepts",
    }
)
DIGESTS = "urn:wardround:model-digest"
REPORTS = "urn:wardround:report"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_Resource = dict[str, Any]


def bundle_of(record: Record, *, patient_system: str) -> _Resource:
    """The transaction. Sent twice it makes nothing twice: each entry is created only where its identifier is new.

    Everything is preliminary: a program's finding is final for nobody.

    Args:
        patient_system: the URI of the hospital's own patient numbers; subjects are named by such a number, so that the
            server's own patient is meant and none is made.
    """
    subject, finding = record.subject, record.finding
    key = record.made[-1].sop_instance
    device, study, report = (_urn(f"{kind}:{key}") for kind in ("device", "study", "report"))
    who = _patient(subject, patient_system)
    when = {"effectiveDateTime": at} if (at := _date(subject.study_date)) else {}
    entries = [
        _entry(device, _device(record), f"identifier={DIGESTS}|{finding.made_by.digest}"),
        _entry(study, _study(record, who), f"identifier=urn:dicom:uid|urn:oid:{subject.study}"),
    ]
    observations = []
    for number, measurement in enumerate(finding.measurements, start=1):
        url, name = _urn(f"observation:{number}:{key}"), f"{key}.{number}"
        observations.append(url)
        observation = _observation(measurement, record, who, device, study) | when
        observation["identifier"] = [{"system": REPORTS, "value": name}]
        entries.append(_entry(url, observation, f"identifier={REPORTS}|{name}"))
    said = f"{finding.banner}: {finding.words}" if finding.banner else finding.words
    identifiers = [{"system": REPORTS, "value": key}]
    if subject.accession:
        kind = {"coding": [_coding("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN", "Accession ID")]}
        identifiers.append({"type": kind, "value": subject.accession})  # type: ignore[dict-item]  # JSON
    diagnostic = {
        "resourceType": "DiagnosticReport",
        "identifier": identifiers,
        "status": "preliminary",
        "category": [{"coding": [_coding("http://loinc.org", "LP29684-5", "Radiology")]}],
        "code": {"coding": [_coding("http://loinc.org", "18748-4", "Diagnostic imaging study")]},
        "subject": who,
        "issued": finding.at.isoformat(timespec="seconds"),
        "result": [{"reference": url} for url in observations],
        "imagingStudy": [{"reference": study}],
        "conclusion": said,
    } | when
    entries.append(_entry(report, diagnostic, f"identifier={REPORTS}|{key}"))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _entry(url: str, resource: _Resource, unless: str) -> _Resource:
    request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": unless}
    return {"fullUrl": url, "resource": resource, "request": request}


def _device(record: Record) -> _Resource:
    by = record.finding.made_by
    return {
        "resourceType": "Device",
        "identifier": [{"system": DIGESTS, "value": by.digest}],
        "status": "active",
        "manufacturer": by.manufacturer,
        "deviceName": [{"name": by.name, "type": "model-name"}],
        "version": [{"value": by.version}, {"value": by.software}],
        "note": [{"text": f"Model package, SHA-256 {by.digest}"}],
    }


def _study(record: Record, who: _Resource) -> _Resource:
    subject = record.subject
    source = {
        "uid": subject.series,
        "modality": _modality(subject.modality),
        "numberOfInstances": subject.images,
    }
    made = [
        {
            "uid": one.series,
            "modality": _modality(one.modality),
            "numberOfInstances": 1,
            "instance": [
                {"uid": one.sop_instance, "sopClass": _coding("urn:ietf:rfc:3986", f"urn:oid:{one.sop_class}", "")}
            ],
        }
        for one in record.made
    ]
    study: _Resource = {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{subject.study}"}],
        "status": "available",
        "subject": who,
        "series": [source, *made],
    }
    if subject.study_description:
        study["description"] = subject.study_description
    if at := _date(subject.study_date):
        study["started"] = at
    return study


def _observation(measurement: Measurement, record: Record, who: _Resource, device: str, study: str) -> _Resource:
    finding = record.finding
    observation: _Resource = {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [{"coding": [_coding(_CATEGORY, "imaging", "Imaging")]}],
        "code": {"coding": [_concept(measurement.concept)], "text": f"{finding.of}: {measurement.concept.meaning}"},
        "subject": who,
        "issued": finding.at.isoformat(timespec="seconds"),
        "device": {"reference": device},
        "derivedFrom": [{"reference": study}],
        "valueQuantity": {
            "value": float(f"{measurement.value:.6g}"),
            "unit": measurement.unit.meaning,
            "system": _SYSTEMS["UCUM"],
            "code": measurement.unit.value,
        },
    }
    if finding.banner:
        observation["note"] = [{"text": finding.banner}]
    return observation


def _patient(subject: Subject, system: str) -> _Resource:
    """By number, as the hospital's own; of somebody without one, a name at most."""
    shown = " ".join(reversed([part for part in subject.name.split("^")[:2] if part]))
    who: _Resource = {"type": "Patient"}
    if subject.patient_id:
        identifier: _Resource = {"system": system, "value": subject.patient_id}
        if subject.issuer:
            identifier["assigner"] = {"display": subject.issuer}
        who["identifier"] = identifier
    if shown or not subject.patient_id:
        who["display"] = shown or "unknown"
    return who


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code} | ({"display": display} if display else {})


def _concept(concept: Concept) -> Mapping[str, str]:
    return _coding(_SYSTEMS[concept.scheme], concept.value, concept.meaning)


def _modality(code: str) -> Mapping[str, str]:
    return _coding(_SYSTEMS["DCM"], code or "OT", "")


def _date(text: str) -> str:
    """A FHIR date of a DICOM one that is valid or empty."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if text else ""


def _urn(name: str) -> str:
    """A place in the bundle: the same for the same reading, so that a bundle sent again is the same bundle."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}"
