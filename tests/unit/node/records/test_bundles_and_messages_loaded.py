"""FHIR and HL7 v2 all the way into the records: twice the same, corrected, taken back, of nobody, in the future."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.records_lab import Lab, reasons

from wardround.node.records.load import TELLING_IN_ORDER
from wardround.node.records.reasons import Reason
from wardround.node.records.report import Report
from wardround.node.records.sources import Options, reader

MRN, SNOMED, LOINC = "https://trust.example/mrn", "http://snomed.info/sct", "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
EVENTS = (
    "condition_occurrence",
    "procedure_occurrence",
    "drug_exposure",
    "measurement",
    "observation",
    "visit_occurrence",
    "death",
)


def load(lab: Lab, kind: str, path: Path) -> Report:
    made = reader(kind, Options())
    return lab.loader.load(made, path, source=kind, actor="os:tests", in_order=kind in TELLING_IN_ORDER)


def tally(lab: Lab) -> dict[str, int]:
    found = {name: lab.one(f"SELECT count(*) FROM {name}") for name in ("person", *EVENTS)}  # noqa: S608 - our names
    return {name: count for name, count in found.items() if count}


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def of(kind: str, key: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": key, "subject": {"reference": "Patient/p1"}, **more}


def patient(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": MRN, "value": "M-1"}],
        "gender": "female",
        "birthDate": "1961-05-04",
        **more,
    }


def hospital() -> list[dict[str, Any]]:
    """One of each kind that is taken."""
    quantity = {"value": 101.5, "unit": "umol/l", "system": UCUM, "code": "umol/L"}
    pressures = [
        {"code": coded(LOINC, code), "valueQuantity": {"value": value, "system": UCUM, "code": "mm[Hg]"}}
        for code, value in (("8480-6", 141), ("8462-4", 88))
    ]
    study = [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}]
    conclusions = [coded(SNOMED, "230690007"), coded(SNOMED, "254938000")]
    supply = {"expectedSupplyDuration": {"value": 4, "code": "wk", "system": UCUM}}
    return [
        patient(deceasedDateTime="2024-01-02"),
        of("Condition", "c1", code=coded(SNOMED, "254938000"), onsetDateTime="2020-02-03"),
        of("Observation", "o1", status="final", code=coded(LOINC, "14682-9"), effectiveDateTime="2021-01-02",
           valueQuantity=quantity),
        of("Observation", "o2", status="final", code=coded(LOINC, "85354-9"), effectiveDateTime="2021-01-02",
           component=pressures),
        of("Procedure", "r1", status="completed", code=coded(SNOMED, "25353009"), performedDateTime="2021-03-04"),
        of("MedicationRequest", "m1", status="active", intent="order", authoredOn="2021-03-05",
           medicationCodeableConcept=coded("https://dmd.nhs.uk", "319773006"), dispenseRequest=supply),
        of("ImagingStudy", "s1", status="available", started="2021-03-01", identifier=study,
           modality=[{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}]),
        of("DiagnosticReport", "d1", status="final", code=coded(LOINC, "24590-2"), issued="2021-03-02T10:00:00Z",
           conclusionCode=conclusions),
    ]  # fmt: skip


WHOLE = {
    "person": 1,
    "condition_occurrence": 1,
    "procedure_occurrence": 2,
    "drug_exposure": 1,
    "measurement": 3,
    "observation": 2,
    "death": 1,
}


def as_bundle(path: Path, resources: Sequence[dict[str, Any]]) -> Path:
    entries = [{"resource": one} for one in resources]
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    return path


def as_export(folder: Path, resources: Sequence[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for kind in sorted({one["resourceType"] for one in resources}):
        lines = [json.dumps(one) for one in resources if one["resourceType"] == kind]
        (folder / f"{kind}.ndjson").write_text("\n".join(lines) + "\n")
    return folder


def test_a_bundle_and_a_bulk_export_say_the_same_however_often_they_are_loaded(lab: Lab, tmp_path: Path) -> None:
    first = load(lab, "fhir", as_bundle(tmp_path / "b.json", hospital()))
    assert first.rejections == 0
    assert tally(lab) == WHOLE
    before = lab.everything()
    for path in (tmp_path / "b.json", as_export(tmp_path / "export", hospital())):
        changes = load(lab, "fhir", path).changes
        assert (changes.added, changes.changed, changes.removed) == (0, 0, 0)
    assert lab.everything() == before


def test_a_correction_takes_the_place_of_what_it_corrects(lab: Lab, tmp_path: Path) -> None:
    load(lab, "fhir", as_bundle(tmp_path / "b.json", hospital()))
    corrected = hospital()
    corrected[2] |= {"status": "corrected", "valueQuantity": corrected[2]["valueQuantity"] | {"value": 99}}
    report = load(lab, "fhir", as_bundle(tmp_path / "b.json", corrected))
    assert (report.changes.added, report.changes.changed, report.changes.removed) == (0, 1, 0)
    assert lab.rows("SELECT value_as_number FROM measurement WHERE measurement_source_value = 'LOINC:14682-9'") == [
        (99.0,)
    ]
    assert tally(lab) == WHOLE


def test_a_report_with_fewer_conclusions_keeps_those_alone(lab: Lab, tmp_path: Path) -> None:
    load(lab, "fhir", as_bundle(tmp_path / "b.json", hospital()))
    corrected = hospital()
    corrected[7] |= {"status": "amended", "conclusionCode": corrected[7]["conclusionCode"][1:]}
    load(lab, "fhir", as_bundle(tmp_path / "b.json", corrected))
    assert lab.rows("SELECT value_source_value FROM observation") == [("SNOMED:254938000",)]


def test_what_was_entered_in_error_goes_with_all_its_parts(lab: Lab, tmp_path: Path) -> None:
    load(lab, "fhir", as_bundle(tmp_path / "b.json", hospital()))
    wrong = hospital()
    wrong[0]["deceasedDateTime"] = None
    wrong[0]["deceasedBoolean"] = False
    wrong[1]["verificationStatus"] = coded("v", "entered-in-error")
    for one in wrong[2:]:
        one["status"] = "entered-in-error"
    report = load(lab, "fhir", as_bundle(tmp_path / "b.json", wrong))
    assert tally(lab) == {"person": 1}
    assert reasons(report) == {Reason.ENTERED_IN_ERROR: 7}


def test_two_readings_of_one_code_in_one_observation_go_together(lab: Lab, tmp_path: Path) -> None:
    twice = hospital()
    twice[3]["component"] = [twice[3]["component"][0]] * 2
    load(lab, "fhir", as_bundle(tmp_path / "b.json", twice))
    assert tally(lab) == WHOLE
    twice[3]["status"] = "entered-in-error"
    load(lab, "fhir", as_bundle(tmp_path / "b.json", twice))
    assert tally(lab) == WHOLE | {"measurement": 1}


def test_records_of_nobody_and_in_the_future_are_told_and_the_rest_is_taken(lab: Lab, tmp_path: Path) -> None:
    strange = hospital()
    strange[1]["subject"] = {"reference": "Patient/nobody"}
    strange[2] |= {"effectiveDateTime": "2031-01-02"}
    strange[3].pop("subject")
    strange[4]["performedDateTime"] = "1950-03-04"
    report = load(lab, "fhir", as_bundle(tmp_path / "b.json", strange))
    assert reasons(report) == {Reason.NO_PERSON: 2, Reason.FUTURE_DATE: 1, Reason.BEFORE_BIRTH: 1}
    assert tally(lab) == {
        "person": 1,
        "procedure_occurrence": 1,
        "drug_exposure": 1,
        "observation": 2,
        "death": 1,
    }


def test_a_patient_with_an_ethnic_category_is_found_by_it(lab: Lab, tmp_path: Path) -> None:
    category = {
        "url": "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-EthnicCategory",
        "valueCodeableConcept": coded("https://fhir.hl7.org.uk/CodeSystem/UKCore-EthnicCategoryEngland", "C"),
    }
    report = load(lab, "fhir", as_bundle(tmp_path / "b.json", [patient(extension=[category])]))
    assert report.rejections == 0
    assert lab.one("SELECT ethnicity_source_value FROM person") == "NHS Ethnic Category:C"


PID = "PID|1||M-1^^^TRUST^MR||Doe^Jane||19610504|F"
PV1 = "PV1|1|I|W1||||||||||||||||V77^^^TRUST" + "|" * 25 + "20210102083000|20210105"
DIAGNOSIS = "DG1|1||C71.9^Glioma^I10||20210103|F"


def message(kind: str, *segments: str, control: str = "1") -> str:
    start = rf"MSH|^~\&|LAB|TRUST|WR|TRUST|20210102||{kind}|{control}|P|2.5.1"
    return "\r".join([start, *segments]) + "\r"


def result(value: str, status: str = "F", at: str = "20210102101500") -> tuple[str, str, str]:
    order = "OBR|1||F99^LAB|24320-4^Panel^LN|||20210102"
    return PID, order, f"OBX|1|NM|2345-7^Glucose^LN||{value}|mmol/L|3.9-5.8|||N|{status}|||{at}"


def sent(folder: Path, *messages: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(messages, start=len(list(folder.iterdir())) + 1):
        (folder / f"{number:03d}.hl7").write_text(text, newline="")
    return folder


def test_messages_are_the_same_however_often_they_are_loaded(lab: Lab, tmp_path: Path) -> None:
    folder = sent(tmp_path / "in", message("ADT^A01", PID, PV1, DIAGNOSIS), message("ORU^R01", *result("6.4")))
    assert load(lab, "hl7", folder).rejections == 0
    assert tally(lab) == {"person": 1, "visit_occurrence": 1, "condition_occurrence": 1, "measurement": 1}
    before = lab.everything()
    changes = load(lab, "hl7", folder).changes
    assert (changes.added, changes.changed, changes.removed) == (0, 0, 0)
    assert lab.everything() == before


@pytest.mark.parametrize("at_once", [True, False])
def test_later_messages_correct_and_take_back_earlier_ones(lab: Lab, tmp_path: Path, at_once: bool) -> None:
    earlier = (message("ADT^A01", PID, PV1, DIAGNOSIS), message("ORU^R01", *result("6.4")))
    later = (
        message("ORU^R01", *result("6.9", "C")),
        message("ADT^A08", PID.replace("19610504", "19610405"), PV1, DIAGNOSIS + "|" * 15 + "D"),
    )
    folder = sent(tmp_path / "in", *earlier)
    if not at_once:
        load(lab, "hl7", folder)
    report = load(lab, "hl7", sent(folder, *later))
    assert report.rejections == 0
    assert lab.rows("SELECT value_as_number FROM measurement") == [(6.9,)]
    assert tally(lab) == {"person": 1, "visit_occurrence": 1, "measurement": 1}
    final = sent(folder, message("ORU^R01", *result("", "W")), message("ADT^A11", PID, PV1))
    assert reasons(load(lab, "hl7", final)) == {Reason.ENTERED_IN_ERROR: 1}
    assert tally(lab) == {"person": 1}


def test_messages_of_nobody_and_in_the_future_are_told(lab: Lab, tmp_path: Path) -> None:
    folder = sent(
        tmp_path / "in",
        message("ADT^A01", PID.replace("M-1^^^TRUST^MR", ""), PV1),
        message("ORU^R01", *result("6.4", at="20310102")),
        message("ORU^R01", *result("6.4", at="19500102")),
        message("ADT^A40", PID, PV1),
        message("ADT^A28", PID),
    )
    report = load(lab, "hl7", folder)
    assert reasons(report) == {
        Reason.NO_PERSON: 1,
        Reason.FUTURE_DATE: 1,
        Reason.BEFORE_BIRTH: 1,
        Reason.UNSUPPORTED: 1,
    }
    assert tally(lab) == {"person": 1}
