"""The two collections in ../shared load by the mappings that come with Wardround; counts are those of the raw files."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.records_lab import Lab, person, reasons

from wardround.demo.links import write_link
from wardround.demo.nifti import read_hospitals
from wardround.node.records.report import Report
from wardround.node.records.schema import FEMALE, MALE, TABLES
from wardround.node.records.sources import Options, reader

SETS = Path(__file__).resolve().parents[4].parent / "shared" / "datasets"
LGG, HEART = SETS / "lgg-mri", SETS / "uci-heart"
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason="the data sets aren't beside the repository (../shared)")


def load(lab: Lab, mapping: str, path: Path, link: Path | None = None) -> Report:
    made = reader("csv", Options(mapping=mapping, link=link))
    return lab.loader.load(made, path, source=mapping, actor="os:tests")


def glioma() -> list[dict[str, str]]:
    with (LGG / "patients.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def heart() -> list[list[str]]:
    rows = []
    for name in HOSPITALS:
        with (HEART / f"processed.{name}.data").open(newline="") as file:
            rows += list(csv.reader(file))
    return rows


def counts(lab: Lab, table: str, column: str) -> dict[Any, int]:
    return dict(lab.rows(f"SELECT {column}, count(*) FROM {table} GROUP BY 1"))  # noqa: S608 - our names


def test_every_patient_of_the_glioma_collection_comes_with_what_the_file_says(lab: Lab) -> None:
    raw = glioma()
    report = load(lab, "lgg-mri", LGG / "patients.csv")
    assert report.rejections == 0
    assert lab.one("SELECT count(*) FROM person") == len(raw) == 89
    sexes = Counter({"1": FEMALE, "2": MALE, "": 0}[row["gender_code"]] for row in raw)
    assert counts(lab, "person", "gender_concept_id") == sexes
    codes = {"1": "ICDO3:9400/3-C71.9", "2": "ICDO3:9382/3-C71.9", "3": "ICDO3:9450/3-C71.9"}
    types = Counter(codes[row["histological_type_code"]] for row in raw if row["histological_type_code"])
    assert counts(lab, "condition_occurrence", "condition_source_value") == types
    observed = Counter(
        f"TCGA-LGG:{what}"
        for row in raw
        for what in (
            {"1": "grade-II", "2": "grade-III", "": ""}[row["grade_code"]],
            row["laterality_code"] and f"laterality-{row['laterality_code']}",
            row["location_code"] and f"location-{row['location_code']}",
            "died" if row["death01"] == "1" else "",
        )
        if what
    )
    assert counts(lab, "observation", "observation_source_value") == observed
    races = Counter(f"TCGA-LGG:race-{row['race_code']}" if row["race_code"] else None for row in raw)
    assert counts(lab, "person", "race_source_value") == races
    assert lab.one("SELECT count(*) FROM death") == 0


def test_ages_are_those_of_the_file_though_every_date_was_moved(lab: Lab) -> None:
    load(lab, "lgg-mri", LGG / "patients.csv")
    found = Counter(
        # A birth without a day is taken for the 15th, as questions about age do.
        at.year - year - ((at.month, at.day) < (month, 15))
        for at, year, month in lab.rows(
            "SELECT c.condition_start_date, p.year_of_birth, p.month_of_birth FROM condition_occurrence c "
            "JOIN person p ON p.person_id = c.person_id WHERE p.year_of_birth IS NOT NULL"
        )
    )
    assert found == Counter(int(row["age"]) for row in glioma() if row["age"] and row["histological_type_code"])
    moved = {day for (day,) in lab.rows("SELECT condition_start_date FROM condition_occurrence")}
    assert len(moved & {datetime.strptime(row["study_date"], "%Y%m%d").date() for row in glioma()}) < 30


def test_linked_patients_are_the_persons_of_their_images(lab: Lab, tmp_path: Path) -> None:
    hospital = next(one for one in read_hospitals(LGG) if one.code == "cs")
    link = tmp_path / "link.csv"
    write_link(hospital, link)
    report = load(lab, "lgg-mri", LGG / "patients.csv", link)
    elsewhere = [row for row in glioma() if row["site"] != "CS"]
    assert {reason.value: count for reason, count in reasons(report).items()} == {"not-linked": len(elsewhere)}
    # As the way into the enclave names who is in a DICOM header.
    expected = {
        lab.keys.person(lab.pseudonyms.patient(hospital.identity(key).patient_id, "NHS")) for key in hospital.keys
    }
    assert {number for (number,) in lab.rows("SELECT person_id FROM person")} == expected
    # What the reader of the raw file says of one of them stands under that person.
    said = next(row for row in glioma() if row["patient"] == hospital.keys[0])
    number = lab.keys.person(lab.pseudonyms.patient(hospital.identity(hospital.keys[0]).patient_id, "NHS"))
    days = lab.pseudonyms.days(hospital.identity(hospital.keys[0]).patient_id, "NHS")
    [(day,)] = lab.rows("SELECT condition_start_date FROM condition_occurrence WHERE person_id = ?", [number])
    assert (day - date.fromisoformat(said["study_date"])).days == days


def test_the_heart_disease_collection_comes_as_persons_measurements_and_conditions(lab: Lab) -> None:
    raw = heart()
    report = load(lab, "uci-heart", HEART)
    assert report.rejections == 0
    assert lab.one("SELECT count(*) FROM person") == len(raw) == 920
    assert counts(lab, "person", "gender_concept_id") == {
        FEMALE: sum(float(row[1]) == 0 for row in raw),
        MALE: sum(float(row[1]) == 1 for row in raw),
    }
    known = [[None if cell == "?" else float(cell) for cell in row] for row in raw]
    assert counts(lab, "measurement", "measurement_source_value") == {
        "LOINC:8480-6": sum(bool(row[3]) for row in known),
        "LOINC:2093-3": sum(bool(row[4]) for row in known),
        "UCI-Heart:thalach": sum(row[7] is not None for row in known),
        "UCI-Heart:oldpeak": sum(row[9] is not None for row in known),
    }
    assert counts(lab, "condition_occurrence", "condition_source_value") == {
        "SNOMED:56265001": sum(bool(row[13]) for row in known)
    }
    high = "measurement_source_value = 'LOINC:2093-3' AND unit_source_value = 'UCUM:mg/dL' AND value_as_number > 240"
    assert lab.one(f"SELECT count(DISTINCT person_id) FROM measurement WHERE {high}") == sum(  # noqa: S608 - our words
        row[4] is not None and row[4] > 240 for row in known
    )
    both = (
        f"SELECT count(*) FROM condition_occurrence WHERE person_id IN (SELECT person_id FROM measurement WHERE {high})"  # noqa: S608
    )
    assert lab.one(both) == sum(bool(row[13]) and row[4] is not None and row[4] > 240 for row in known)


@pytest.mark.parametrize(("mapping", "path"), [("lgg-mri", LGG / "patients.csv"), ("uci-heart", HEART)])
def test_loading_either_again_changes_nothing(lab: Lab, mapping: str, path: Path) -> None:
    load(lab, mapping, path)
    before = {name: sorted(map(repr, lab.rows(f"SELECT * FROM {name}"))) for name in TABLES}  # noqa: S608
    changes = load(lab, mapping, path).changes
    assert (changes.added, changes.changed, changes.removed) == (0, 0, 0)
    assert {name: sorted(map(repr, lab.rows(f"SELECT * FROM {name}"))) for name in TABLES} == before  # noqa: S608


def test_a_corrected_file_changes_what_it_corrects_and_nothing_else(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "heart"
    folder.mkdir()
    original = (HEART / "processed.va.data").read_text().splitlines()
    assert original[0] == "63,1,4,140,260,0,1,112,1,3,2,?,?,2"
    (folder / "processed.va.data").write_text("\n".join(original))
    load(lab, "uci-heart", folder)
    original[0] = "63,1,4,?,270,0,1,112,1,3,2,?,?,0"
    (folder / "processed.va.data").write_text("\n".join(original))
    report = load(lab, "uci-heart", folder)
    numbers, diseases = report.table("measurement"), report.table("condition_occurrence")
    assert (numbers.added, numbers.changed, numbers.removed) == (0, 1, 1)
    assert (diseases.added, diseases.changed, diseases.removed) == (0, 0, 1)


def test_an_age_contradicts_no_birth_and_never_takes_its_place(lab: Lab) -> None:
    lab.load(person("TCGA_CS_4941", date(1929, 6, 30), MALE), source="registry")
    report = load(lab, "lgg-mri", LGG / "patients.csv")
    assert report.rejections == 0
    born = "SELECT day_of_birth FROM person WHERE person_id = ?"
    [(day,)] = lab.rows(born, [lab.keys.person(lab.pseudonyms.patient("TCGA_CS_4941", ""))])
    assert day is not None


def test_nothing_of_who_somebody_is_is_in_the_records(lab: Lab) -> None:
    load(lab, "lgg-mri", LGG / "patients.csv")
    said = " ".join(repr(row) for name in TABLES for row in lab.rows(f"SELECT * FROM {name}"))  # noqa: S608
    assert "TCGA_" not in said
