"""FHIR bundles and bulk exports become OMOP rows, or are told as rejected, without an identifier."""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.fhir import stream
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, Rejected, Row
from wardround.node.records.schema import FEMALE, TABLES
from wardround.node.records.sources import Options, reader

MRN, NHS_SYSTEM = "https://trust.example/mrn", "https://fhir.nhs.uk/Id/nhs-number"
SNOMED, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
SECRET = "ZQX4711"


def patient(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": MRN, "value": SECRET}, {"system": NHS_SYSTEM, "value": "9434765919"}],
        "gender": "female",
        "birthDate": "1961-05-04",
        **more,
    }


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}], "text": f"words about {SECRET}"}


def condition(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": "c1",
        "subject": {"reference": "Patient/p1"},
        "code": concept(SNOMED, "254938000"),
        "onsetDateTime": "2020-02-03T23:30:00-05:00",
        **more,
    }


def pressure(**more: Any) -> dict[str, Any]:
    def part(code: str, value: float) -> dict[str, Any]:
        quantity = {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}
        return {"code": concept(LOINC, code), "valueQuantity": quantity}

    return {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
        "code": concept(LOINC, "85354-9"),
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2021-01-02",
        "component": [part("8480-6", 141), part("8462-4", 88)],
        **more,
    }


def creatinine(**more: Any) -> dict[str, Any]:
    quantity = {"value": 101.5, "comparator": "<", "system": UCUM, "code": "umol/L"}
    low, high = {"value": 45, "code": "umol/L"}, {"value": 84}
    return {
        "resourceType": "Observation",
        "id": "o2",
        "status": "final",
        "code": concept(LOINC, "14682-9"),
        "subject": {"reference": "Patient/p1"},
        "effectivePeriod": {"start": "2021-01-02"},
        "valueQuantity": quantity,
        "referenceRange": [{"low": low, "high": high}],
        **more,
    }


def prescription(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "active",
        "intent": "order",
        "medicationReference": {"reference": "Medication/x"},
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2021-03-01",
        "dispenseRequest": {
            "numberOfRepeatsAllowed": 2,
            "quantity": {"value": 56},
            "expectedSupplyDuration": {"value": 4, "code": "wk", "system": UCUM},
        },
        **more,
    }


def bundle(*resources: dict[str, Any], kind: str = "collection") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": one} for one in resources]}


def read(path: Path, mapping: str = "") -> list[Row | Rejected]:
    return list(reader("fhir", Options(mapping=mapping))(path))


def read_json(folder: Path, document: object, mapping: str = "") -> list[Row | Rejected]:
    path = folder / "some name.json"
    path.write_text(json.dumps(document))
    return read(path, mapping)


def rows(found: Iterable[Row | Rejected], table: str) -> list[Row]:
    return [one for one in found if isinstance(one, Row) and one.table == table and not one.removed]


def rejected(found: Iterable[Row | Rejected]) -> list[Reason]:
    return [one.reason for one in found if isinstance(one, Rejected)]


def test_a_patient_comes_with_birth_sex_and_the_hospitals_own_number(tmp_path: Path) -> None:
    (row,) = read_json(tmp_path, bundle(patient()))
    assert isinstance(row, Row)
    assert (row.table, row.person.patient_id, row.person.issuer) == ("person", SECRET, "")
    assert row.person.others == (("9434765919", ""),)
    assert row.values == {"gender_concept_id": FEMALE, "birth_datetime": date(1961, 5, 4)}


def test_a_record_may_come_before_its_patient_and_keeps_the_day_on_the_wall(tmp_path: Path) -> None:
    found = read_json(tmp_path, bundle(condition(), patient()))
    (row,) = rows(found, "condition_occurrence")
    assert row.person.patient_id == SECRET
    assert row.values["condition_concept_id"] == (Code("SNOMED", "254938000"),)
    assert row.values["condition_start_date"] == date(2020, 2, 3)
    assert row.values["condition_start_datetime"] == datetime(2020, 2, 3, 23, 30)


def test_blood_pressure_is_two_measurements_with_their_units(tmp_path: Path) -> None:
    found = rows(read_json(tmp_path, bundle(patient(), pressure())), "measurement")
    assert [(row.values["measurement_concept_id"], row.values["value_as_number"]) for row in found] == [
        ((Code("LOINC", "8480-6"),), 141),
        ((Code("LOINC", "8462-4"),), 88),
    ]
    assert {row.values["unit_concept_id"] for row in found} == {Code("UCUM", "mm[Hg]")}
    assert len({row.key for row in found}) == 2


def test_one_bad_component_leaves_the_other(tmp_path: Path) -> None:
    given = pressure()
    given["component"][0]["valueQuantity"]["code"] = ""
    found = read_json(tmp_path, bundle(patient(), given))
    assert [row.values["value_as_number"] for row in rows(found, "measurement")] == [88]
    assert rejected(found) == [Reason.UNIT_UNKNOWN]


def test_a_bound_keeps_its_operator_and_the_range_its_unit(tmp_path: Path) -> None:
    (row,) = rows(read_json(tmp_path, bundle(patient(), creatinine())), "measurement")
    assert row.values["operator_concept_id"] == 4171756
    assert (row.values["range_low"], row.values["range_high"]) == (45, 84)


def test_a_prescription_takes_its_drug_from_another_resource_and_ends_with_its_supply(tmp_path: Path) -> None:
    medication = {"resourceType": "Medication", "id": "x", "code": concept("https://dmd.nhs.uk", "319773006")}
    (row,) = rows(read_json(tmp_path, bundle(prescription(), patient(), medication)), "drug_exposure")
    assert row.values["drug_concept_id"] == (Code("dm+d", "319773006"),)
    assert (row.values["days_supply"], row.values["refills"], row.values["quantity"]) == (28, 2, 56)
    assert row.values["drug_exposure_end_date"] == date(2021, 3, 28)


def test_an_imaging_study_is_a_procedure_by_its_uid(tmp_path: Path) -> None:
    study = {
        "resourceType": "ImagingStudy",
        "id": "s",
        "status": "available",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
        "subject": {"reference": "Patient/p1"},
        "started": "2021-05-05",
    }
    (row,) = rows(read_json(tmp_path, bundle(patient(), study)), "procedure_occurrence")
    assert (row.key, row.values["procedure_concept_id"]) == ("study:1.2.3", (Code("DICOM", "MR"),))


def test_a_report_comes_with_each_coded_conclusion_and_without_a_word_of_its_text(tmp_path: Path) -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "d",
        "status": "final",
        "code": concept(LOINC, "24590-2"),
        "subject": {"reference": "Patient/p1"},
        "issued": "2021-05-05T10:00:00Z",
        "conclusion": f"words about {SECRET}",
        "conclusionCode": [concept(SNOMED, "1"), concept(SNOMED, "2")],
    }
    found = rows(read_json(tmp_path, bundle(patient(), report)), "observation")
    assert [row.values["value_as_concept_id"] for row in found] == [(Code("SNOMED", "1"),), (Code("SNOMED", "2"),)]
    assert SECRET not in str([row.values for row in found])


@pytest.mark.parametrize(
    ("resource", "reason", "takes_back"),
    [
        (condition(verificationStatus=concept("v", "entered-in-error")), Reason.ENTERED_IN_ERROR, True),
        (condition(verificationStatus=concept("v", "refuted")), Reason.UNSUPPORTED, True),
        (condition(verificationStatus=concept("v", "provisional")), Reason.NOT_FINAL, False),
        (condition(onsetDateTime="2020"), Reason.BAD_DATE, False),
        (condition(onsetDateTime="2020-02-30"), Reason.BAD_DATE, False),
        (condition(onsetDateTime=None), Reason.NO_DATE, False),
        (condition(code={"text": "glioma"}), Reason.NO_CODE, False),
        (condition(code=concept("https://elsewhere.example/codes", "1")), Reason.BAD_CODE, False),
        (condition(subject={"reference": "Patient/nobody"}), Reason.NO_PERSON, False),
        (creatinine(status="cancelled"), Reason.UNSUPPORTED, True),
        (creatinine(status="entered-in-error"), Reason.ENTERED_IN_ERROR, True),
        (creatinine(status="preliminary"), Reason.NOT_FINAL, False),
        (creatinine(status=None), Reason.MALFORMED, False),
        (creatinine(valueQuantity={"value": "101"}), Reason.BAD_VALUE, False),
        (creatinine(valueQuantity={"value": 10**400}), Reason.BAD_VALUE, False),
        (creatinine(valueQuantity={"value": 1, "unit": "micromoles"}), Reason.UNIT_UNKNOWN, False),
        (prescription(intent="plan"), Reason.UNSUPPORTED, False),
        (prescription(status="draft"), Reason.NOT_FINAL, False),
        (prescription(doNotPerform=True), Reason.UNSUPPORTED, True),
        ({"resourceType": "Encounter", "id": "e"}, Reason.UNSUPPORTED, False),
        ({"resourceType": SECRET, "id": "e"}, Reason.UNSUPPORTED, False),
    ],
)
def test_what_isnt_taken_says_why_and_takes_back_what_was(
    tmp_path: Path, resource: dict[str, Any], reason: Reason, takes_back: bool
) -> None:
    found = read_json(tmp_path, bundle(patient(), resource))
    assert rejected(found) == [reason]
    kept = [one for one in found if isinstance(one, Row) and one.table != "person"]
    assert bool(kept) is takes_back
    assert all(one.removed and one.key.startswith(f"{resource['resourceType']}/{resource['id']}") for one in kept)
    assert SECRET not in str([one for one in found if isinstance(one, Rejected)])


def test_a_correction_leaves_the_other_table_clean(tmp_path: Path) -> None:
    found = read_json(tmp_path, bundle(patient(), creatinine(status="corrected")))
    assert [(row.table, row.removed) for row in found if isinstance(row, Row)][1:] == [
        ("observation", True),
        ("measurement", False),
    ]


@pytest.mark.parametrize(
    ("deceased", "day"),
    [("2021-02-03", date(2021, 2, 3)), ("2021-02", date(2021, 2, 28)), ("2021", date(2021, 12, 31))],
)
def test_a_death_in_part_gets_omops_last_day(tmp_path: Path, deceased: str, day: date) -> None:
    (row,) = rows(read_json(tmp_path, patient(deceasedDateTime=deceased)), "death")
    assert row.values["death_date"] == day


def test_a_death_without_a_date_is_rejected_and_the_person_stays(tmp_path: Path) -> None:
    found = read_json(tmp_path, patient(deceasedBoolean=True))
    assert len(rows(found, "person")) == 1
    assert rejected(found) == [Reason.NO_DATE]


def test_a_birth_in_part_is_kept_as_far_as_it_is_known(tmp_path: Path) -> None:
    (row,) = rows(read_json(tmp_path, patient(birthDate="1961-05")), "person")
    assert (row.values["year_of_birth"], row.values["month_of_birth"]) == (1961, 5)
    assert "birth_datetime" not in row.values


def test_ethnicity_of_both_countries_is_kept_as_its_code(tmp_path: Path) -> None:
    category = concept("https://fhir.hl7.org.uk/CodeSystem/UKCore-EthnicCategoryEngland", "C")
    uk = {
        "url": "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-EthnicCategory",
        "valueCodeableConcept": category,
    }
    (row,) = rows(read_json(tmp_path, patient(extension=[uk])), "person")
    assert row.values["ethnicity_concept_id"] == (Code("NHS Ethnic Category", "C"),)
    coding = {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}
    us = {
        "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
        "extension": [{"url": "ombCategory", "valueCoding": coding}],
    }
    (row,) = rows(read_json(tmp_path, patient(extension=[us])), "person")
    assert row.values["race_concept_id"] == (Code("CDCREC", "2106-3"), Code("Race", "5"))


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/p1"},
        {"reference": "Patient/p1/_history/3"},
        {"reference": "https://server.example/fhir/Patient/p1"},
        {"reference": "urn:uuid:11111111-2222-3333-4444-555555555555"},
        {"reference": f"Patient?identifier={MRN}|{SECRET}"},
        {"identifier": {"system": MRN, "value": SECRET}},
        {"reference": "#inside"},
    ],
)
def test_every_kind_of_reference_finds_the_patient(tmp_path: Path, subject: dict[str, Any]) -> None:
    inside = patient(id="inside")
    entries = [
        {"resource": condition(subject=subject, contained=[inside])},
        {"fullUrl": "https://server.example/fhir/Patient/p1", "resource": patient()},
        {"fullUrl": "urn:uuid:11111111-2222-3333-4444-555555555555", "resource": patient()},
    ]
    found = read_json(tmp_path, {"resourceType": "Bundle", "entry": entries, "type": "transaction"})
    (row,) = rows(found, "condition_occurrence")
    assert row.person.patient_id == SECRET


def test_one_reference_to_two_different_patients_names_neither(tmp_path: Path) -> None:
    other = patient(identifier=[{"system": MRN, "value": "another"}])
    found = read_json(tmp_path, bundle(patient(), other, condition()))
    assert rejected(found) == [Reason.NO_PERSON]


def test_two_servers_that_count_alike_are_told_apart_by_their_addresses(tmp_path: Path) -> None:
    for server, value in (("a", "first"), ("b", "second")):
        base = f"https://{server}.example/fhir"
        who = patient(identifier=[{"system": MRN, "value": value}])
        entries = [
            {"fullUrl": f"{base}/Patient/p1", "resource": who},
            {"fullUrl": f"{base}/Condition/c1", "resource": condition()},
        ]
        (tmp_path / f"{server}.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}))
    assert [row.person.patient_id for row in rows(read(tmp_path), "condition_occurrence")] == ["first", "second"]


def test_a_patient_that_was_replaced_gives_its_records_to_the_other(tmp_path: Path) -> None:
    link = [{"type": "replaced-by", "other": {"reference": "Patient/new"}}]
    new = patient(id="new", identifier=[{"system": MRN, "value": "survivor"}])
    found = read_json(tmp_path, bundle(patient(link=link), condition(), new))
    assert [row.person.patient_id for row in rows(found, "condition_occurrence")] == ["survivor"]
    assert [row.person.patient_id for row in rows(found, "person")] == ["survivor"]


def test_a_mapping_says_which_number_counts_and_what_local_codes_are(tmp_path: Path) -> None:
    mapping = tmp_path / "trust.toml"
    mapping.write_text(
        f'source = "trust-a"\n[identifiers]\n"{NHS_SYSTEM}" = "NHS"\n[vocabularies]\n"https://l.example" = "Local"\n'
    )
    found = read_json(tmp_path, bundle(patient(), condition(code=concept("https://l.example", "A1"))), str(mapping))
    (row,) = rows(found, "condition_occurrence")
    assert (row.person.patient_id, row.person.issuer) == ("9434765919", "NHS")
    assert row.values["condition_concept_id"] == (Code("Local", "A1"),)
    assert row.key == "trust-a|Condition/c1"


def test_two_numbers_of_which_either_could_count_name_nobody(tmp_path: Path) -> None:
    two = [{"system": MRN, "value": "1"}, {"system": "https://clinic.example/mrn", "value": "2"}]
    assert rejected(read_json(tmp_path, patient(identifier=two))) == [Reason.NO_PERSON]


@pytest.mark.parametrize(
    ("text", "says"),
    [("[identifers]\n", "unknown key 'identifers'"), ("identifiers = 1\n", "[identifiers] holds lines"), ("x", "TOML")],
)
def test_a_mapping_with_a_mistake_is_refused_with_the_mend(tmp_path: Path, text: str, says: str) -> None:
    mapping = tmp_path / "trust.toml"
    mapping.write_text(text)
    with pytest.raises(RecordsRefused) as refused:
        read_json(tmp_path, bundle(), str(mapping))
    assert says in str(refused.value)


def test_a_bulk_export_is_read_line_by_line_and_tells_the_bad_ones(tmp_path: Path) -> None:
    (tmp_path / "Condition.ndjson").write_text(json.dumps(condition()) + '\n{"resourceType": \n\n"text"\n')
    (tmp_path / "Patient.000.ndjson").write_text(json.dumps(patient()) + "\n")
    (tmp_path / f"{SECRET}.ndjson").write_text("[\n")
    found = read(tmp_path)
    assert len(rows(found, "condition_occurrence")) == 1
    told = sorted((one.reason, one.where) for one in found if isinstance(one, Rejected))
    assert told == [
        (Reason.MALFORMED, "Condition.ndjson line 2"),
        (Reason.MALFORMED, "Condition.ndjson line 4"),
        (Reason.MALFORMED, "file 3 line 1"),
    ]


def test_lines_in_a_file_called_json_are_lines(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(f"{json.dumps(patient())}\n{json.dumps(condition())}\n")
    assert len(rows(read(tmp_path / "all.json"), "condition_occurrence")) == 1


def test_a_second_document_in_a_file_isnt_passed_over(tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text(
        json.dumps(bundle(patient()), indent=1) + json.dumps(bundle(condition()), indent=1)
    )
    found = read(tmp_path / "two.json")
    assert (len(rows(found, "person")), rejected(found)) == (1, [Reason.MALFORMED])


def test_what_came_before_a_break_in_a_bundle_is_kept(tmp_path: Path) -> None:
    whole = json.dumps(bundle(patient(), condition(), condition(id="c2")))
    (tmp_path / "cut.json").write_text(whole[:-60])
    found = read(tmp_path / "cut.json")
    assert len(rows(found, "condition_occurrence")) == 1
    assert rejected(found) == [Reason.MALFORMED]


def test_a_resource_without_end_isnt_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LARGEST", 200_000)
    large = condition(note=[{"text": "x" * 400_000}])
    assert rejected(read_json(tmp_path, bundle(patient(), large))) == [Reason.TOO_LARGE]
    (tmp_path / "Condition.ndjson").write_text(
        f"{json.dumps(patient())}\n{json.dumps(large)}\n{json.dumps(condition())}\n"
    )
    found = read(tmp_path / "Condition.ndjson")
    assert rejected(found) == [Reason.TOO_LARGE]
    assert len(rows(found, "condition_occurrence")) == 1


def test_nesting_without_end_is_malformed(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text('{"resourceType": "Bundle", "entry": [' + "[" * 200_000)
    assert rejected(read(tmp_path / "deep.json")) == [Reason.MALFORMED]


def test_a_history_is_refused_as_a_whole_kind(tmp_path: Path) -> None:
    assert Reason.UNSUPPORTED in rejected(read_json(tmp_path, bundle(kind="history")))


def test_a_folder_without_fhir_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordsRefused, match="no FHIR files"):
        read(tmp_path)


def test_a_bundle_larger_than_a_piece_is_read_whole(tmp_path: Path) -> None:
    many = [condition(id=f"c{index}", note=[{"text": "é" * 999}]) for index in range(300)]
    found = read_json(tmp_path, bundle(patient(), *many))
    assert [row.key for row in rows(found, "condition_occurrence")] == [f"Condition/c{index}" for index in range(300)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def _mutated(draw: st.DrawFn) -> object:
    whole: Any = deepcopy(
        bundle(patient(deceasedDateTime="2022"), condition(), pressure(), creatinine(), prescription())
    )
    for _ in range(draw(st.integers(1, 4))):
        node = whole
        while isinstance(node, dict | list) and node:
            name = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if not isinstance(node[name], dict | list) or draw(st.integers(0, 4)) == 0:
                if draw(st.booleans()) and isinstance(node, dict):
                    del node[name]
                else:
                    node[name] = draw(JSON)
                break
            node = node[name]
    return whole


def _fits(row: Row) -> None:
    table = TABLES[row.table]
    assert set(row.values) <= set(table.names)
    assert not any(name.endswith("_source_value") or not table.column(name).kept for name in row.values)
    json.dumps(row.values, default=str).encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=_mutated())
def test_whatever_stands_in_a_resource_ends_as_a_row_or_rejected(tmp_path: Path, document: object) -> None:
    for one in read_json(tmp_path, document):
        if isinstance(one, Row):
            _fits(one)
        else:
            assert SECRET not in one.where


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), lines=st.booleans())
def test_damaged_bytes_end_as_rows_or_rejected(tmp_path: Path, data: st.DataObject, lines: bool) -> None:
    parts = [patient(), condition(), pressure()]
    whole = "\n".join(map(json.dumps, parts)) if lines else json.dumps(bundle(*parts))
    raw = bytearray(whole.encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
    path = tmp_path / ("x.ndjson" if lines else "x.json")
    path.write_bytes(bytes(raw))
    assert all(isinstance(one, Row | Rejected) for one in read(path))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    at=st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)),
)
def test_a_value_and_its_time_come_out_as_they_went_in(tmp_path: Path, value: float, at: datetime) -> None:
    given_one = creatinine(
        valueQuantity={"value": value, "system": UCUM, "code": "umol/L"}, effectiveDateTime=f"{at:%Y-%m-%dT%H:%M:%S}.5Z"
    )
    (row,) = rows(read_json(tmp_path, bundle(patient(), given_one)), "measurement")
    assert row.values["value_as_number"] == value
    assert row.values["measurement_datetime"] == at.replace(microsecond=0)
