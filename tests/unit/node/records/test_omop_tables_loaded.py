"""A hospital's own OMOP tables, all the way into the records."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.records_lab import Lab, reasons

from wardround.node.records.reasons import Reason
from wardround.node.records.report import Report
from wardround.node.records.sources import Options, reader

PERSON = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,person_source_value\n"
VISIT = "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,preceding_visit_occurrence_id\n"
CONDITION = (
    "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,visit_occurrence_id,"
    "condition_source_concept_id\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "hospital"
    made.mkdir()
    (made / "person.csv").write_text(PERSON + "1,8532,1961,5,4,P-1\n2,8507,1950,1,,P-2\n3,8507,1970,2,3,P-3\n")
    (made / "visit_occurrence.csv").write_text(VISIT + "51,1,9201,2020-02-01,2020-02-09,\n52,1,9202,2020-03-01,,51\n")
    (made / "condition_occurrence.csv").write_text(
        CONDITION + "1,1,201826,2020-02-03,52,45533022\n2,2,0,2020-02-03,,45533022\n3,2,0,2020-02-03,,0\n"
        "4,3,201826,1969-02-03,,\n5,3,201826,2031-02-03,,\n"
    )
    (made / "death.csv").write_text("PERSON_ID\tDEATH_DATE\n2\t2024-05-06\n")
    return made


def load(lab: Lab, folder: Path) -> Report:
    return lab.loader.load(reader("omop", Options()), folder, source="warehouse", actor="os:tests")


def test_records_stand_under_their_visits_and_faults_are_counted(lab: Lab, folder: Path) -> None:
    report = load(lab, folder)
    assert reasons(report) == {Reason.NO_CODE: 1, Reason.BEFORE_BIRTH: 1, Reason.FUTURE_DATE: 1}
    assert lab.one("SELECT count(*) FROM person") == 3
    assert lab.one("SELECT count(*) FROM death") == 1
    joined = (
        "SELECT v.visit_concept_id, before.visit_concept_id, c.condition_concept_id FROM condition_occurrence c "
        "JOIN visit_occurrence v ON v.visit_occurrence_id = c.visit_occurrence_id "
        "JOIN visit_occurrence before ON before.visit_occurrence_id = v.preceding_visit_occurrence_id"
    )
    assert lab.rows(joined) == [(9202, 9201, 201826)]
    unmapped = "SELECT condition_source_concept_id FROM condition_occurrence WHERE condition_concept_id = 0"
    assert lab.rows(unmapped) == [(45533022,)]


def test_loading_again_changes_nothing_and_a_corrected_table_what_it_corrects(lab: Lab, folder: Path) -> None:
    load(lab, folder)
    before = lab.everything()
    again = load(lab, folder).changes
    assert (again.added, again.changed, again.removed) == (0, 0, 0)
    assert lab.everything() == before
    table = folder / "condition_occurrence.csv"
    table.write_text(table.read_text().replace("1,1,201826,2020-02-03", "1,1,201826,2020-02-04"))
    corrected = load(lab, folder).changes
    assert (corrected.added, corrected.changed, corrected.removed) == (0, 1, 0)


def test_two_persons_with_one_number_are_told_and_nothing_of_either_is_taken(lab: Lab, folder: Path) -> None:
    with (folder / "person.csv").open("a") as file:
        file.write("4,8507,1980,1,1,P-1\n")
    report = load(lab, folder)
    assert reasons(report)[Reason.TWO_PERSONS] == 5
    assert lab.one("SELECT count(*) FROM person") == 2
    assert lab.one("SELECT count(*) FROM visit_occurrence") == 0


def test_the_numbers_of_the_source_are_not_in_the_records(lab: Lab, folder: Path) -> None:
    load(lab, folder)
    said = repr(lab.everything())
    assert "P-1" not in said
    assert {number for (number,) in lab.rows("SELECT person_id FROM person")}.isdisjoint({1, 2, 3})
