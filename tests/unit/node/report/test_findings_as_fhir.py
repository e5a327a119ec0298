"""Findings as FHIR R4: valid by an independent library, true to the record, and the same bundle whenever it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from tests.unit.node.report.finding_lab import BANNER, BY, DIGEST, EMPTY, RECORD

from wardround.dicom.finding import RATIO, Measurement, number_concept, unit_of
from wardround.node.report.fhir import bundle_of
from wardround.node.report.record import Record, RecordDamaged, from_bytes, to_bytes

NUMBERS = "https://hospital.example/patient-number"


def resources(record: Record) -> dict[str, list[dict[str, Any]]]:
    bundle = bundle_of(record, patient_system=NUMBERS)
    # Raises where anything isn't as R4 has it.
    Bundle.model_validate(bundle)
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in json.loads(json.dumps(bundle))["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


@pytest.mark.parametrize("record", [RECORD, EMPTY])
def test_a_bundle_is_valid_and_refers_to_what_is_in_it(record: Record) -> None:
    resources(record)
    bundle = bundle_of(record, patient_system=NUMBERS)
    urls = {entry["fullUrl"] for entry in bundle["entry"]}
    assert len(urls) == len(bundle["entry"])
    text = json.dumps(bundle)
    for reference in text.split('"reference": "')[1:]:
        assert reference.split('"')[0] in urls
    assert bundle == bundle_of(record, patient_system=NUMBERS)
    assert all("ifNoneExist" in entry["request"] for entry in bundle["entry"]), "sent twice, it makes nothing twice"


def test_the_report_says_what_was_found_of_whom_and_by_what() -> None:
    found = resources(RECORD)
    [report], [device], [study] = found["DiagnosticReport"], found["Device"], found["ImagingStudy"]
    assert report["status"] == "preliminary"
    assert report["conclusion"] == f"{BANNER}: tumour marked, 1.2 ml"
    assert report["subject"]["identifier"]["value"] == RECORD.subject.patient_id
    assert report["subject"]["identifier"]["system"] == NUMBERS
    assert device["identifier"][0]["value"] == DIGEST
    assert [one["value"] for one in device["version"]] == [BY.version, BY.software]
    assert study["identifier"][0]["value"] == "urn:oid:1.2.3"
    assert [one["uid"] for one in study["series"]] == ["1.2.3.4", "1.2.3.5", "1.2.3.6", "1.2.3.7"]
    values = [(one["valueQuantity"]["value"], one["valueQuantity"]["code"]) for one in found["Observation"]]
    assert values == [(1234.57, "mm3"), (12.3, "mm")]
    assert all(one["note"][0]["text"] == BANNER for one in found["Observation"])
    assert "Patient" not in found, "the hospital's own patient is meant"


def test_a_number_in_a_unit_of_the_pathway_is_valid() -> None:
    measured = (
        Measurement(number_concept("ejection fraction"), 41.0, unit_of("%")),
        Measurement(number_concept("x"), 1.0, RATIO),
    )
    record = Record(
        RECORD.subject, type(RECORD.finding)(**{**_fields(RECORD.finding), "measurements": measured}), RECORD.made
    )
    assert [one["valueQuantity"]["code"] for one in resources(record)["Observation"]] == ["%", "1"]


def _fields(finding: Any) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in finding.__slots__}


def test_a_record_is_read_as_it_was_written_and_a_damaged_one_is_none() -> None:
    assert from_bytes(to_bytes(RECORD)) == RECORD
    for damaged in (b"", b"{}", to_bytes(RECORD)[:-9]):
        with pytest.raises(RecordDamaged):
            from_bytes(damaged)
