"""A hospital's own OMOP tables become records; what isn't of the model is told, with its table and line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, Rejected, Row
from wardround.node.records.schema import RECORDS, TABLES
from wardround.node.records.sources import Options, reader

PERSON = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,person_source_value\n"
CONDITION = (
    "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_type_concept_id,"
    "visit_occurrence_id,condition_source_value,condition_source_concept_id\n"
)


def tables(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, link: Path | None = None) -> list[Row | Rejected]:
    return list(reader("omop", Options(link=link))(folder))


def rows(found: list[Row | Rejected], table: str) -> list[Row]:
    return [one for one in found if isinstance(one, Row) and one.table == table]


def told(found: list[Row | Rejected]) -> list[tuple[Reason, str]]:
    return [(one.reason, one.where) for one in found if isinstance(one, Rejected)]


def test_persons_and_their_records_keep_concepts_and_say_which_visit_they_are_of(tmp_path: Path) -> None:
    tables(
        tmp_path,
        person=PERSON + "7,8532,1961,5,4,P-7\n",
        condition_occurrence=CONDITION + "1,7,201826,2020-02-03,32817,55,E11.9,45533022\n",
        visit_occurrence="visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date\n"
        "55,7,9201,2020-02-01,2020-02-09\n",
    )
    found = read(tmp_path)
    assert told(found) == []
    (person,), (visit,), (condition,) = (
        rows(found, name) for name in ("person", "visit_occurrence", "condition_occurrence")
    )
    assert (person.person.patient_id, person.person.issuer) == ("P-7", "")
    assert person.values == {"gender_concept_id": 8532, "birth_datetime": date(1961, 5, 4)}
    assert condition.values["condition_concept_id"] == 201826
    assert condition.values["condition_source_concept_id"] == 45533022
    assert condition.values["condition_start_date"] == date(2020, 2, 3)
    assert condition.values["visit_occurrence_id"] == visit.key
    assert visit.values["visit_end_date"] == date(2020, 2, 9)
    assert "condition_source_value" not in condition.values
    assert condition.where == "condition_occurrence.csv line 2"


def test_a_source_concept_tells_its_code_where_the_vocabulary_lies_beside_the_tables(tmp_path: Path) -> None:
    tables(
        tmp_path,
        person=PERSON + "7,8532,1961,5,4,P-7\n",
        condition_occurrence=CONDITION + "1,7,0,2020-02-03,32817,,anything,45533022\n",
        CONCEPT='concept_id\tconcept_name\tvocabulary_id\tconcept_code\n45533022\t"Type 2" diabetes\tICD10\tE11.9\n',
    )
    found = read(tmp_path)
    assert told(found) == []
    (condition,) = rows(found, "condition_occurrence")
    assert condition.values["condition_source_value"] == Code("ICD10", "E11.9")


@pytest.mark.parametrize("key", ["person_id", "person_source_value"])
def test_a_link_file_says_whom_the_images_know_a_person_by(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "omop"
    folder.mkdir()
    tables(
        folder,
        person=PERSON + "7,8532,1961,5,4,S7\n8,8507,1950,1,1,S8\n",
        condition_occurrence=CONDITION + "1,7,201826,2020-02-03,32817,,,\n2,8,201826,2020-02-03,32817,,,\n",
    )
    link = tmp_path / "link.csv"
    link.write_text(f"{key},patient_id,issuer\n{'7' if key == 'person_id' else 'S7'},9990001113,NHS\n")
    found = read(folder, link)
    assert {(row.person.patient_id, row.person.issuer) for row in found if isinstance(row, Row)} == {
        ("9990001113", "NHS")
    }
    assert told(found) == [
        (Reason.NOT_LINKED, "person.csv line 3"),
        (Reason.NOT_LINKED, "condition_occurrence.csv line 3"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("person_id,patient\n7,1\n", "patient_id is missing"),
        ("nobody,patient_id\n7,1\n", "person_id or person_source_value"),
        ("person_id,person_source_value,patient_id\n7,S7,1\n", "keep one of"),
        ("person_id,patient_id,name\n7,1,x\n", "leave the others out"),
        ("person_id,patient_id\n7,1\n7,2\n", "line 3: links a number for the second time"),
        ("person_id,patient_id\n7,\n", "line 2: needs person_id and a patient_id"),
        ("person_id,patient_id\n7\n", "line 2"),
    ],
)
def test_a_link_file_that_leaves_a_doubt_is_refused(tmp_path: Path, text: str, words: str) -> None:
    folder = tmp_path / "omop"
    folder.mkdir()
    tables(folder, person=PERSON + "7,8532,1961,5,4,S7\n")
    link = tmp_path / "link.csv"
    link.write_text(text)
    with pytest.raises(RecordsRefused, match=words):
        read(folder, link)


def test_each_bad_row_is_told_with_its_reason_and_line_and_none_stops_the_load(tmp_path: Path) -> None:
    header = "condition_occurrence_id,person_id,condition_concept_id,condition_start_date\n"
    lines = [
        "1,7,201826,2020-02-03",
        "1,7,201826,2020-02-03",
        "2,9,201826,2020-02-03",
        "3,,201826,2020-02-03",
        "4,7,201826,",
        "5,7,201826,03/02/2020",
        "6,7,201826,2020-02-30",
        "7,7,,2020-02-03",
        "8,7,many,2020-02-03",
        "x,7,201826,2020-02-03",
        "9,7,201826",
        "10,7,201826.0,20200203",
        "11,7,201826,2020-02-03 00:00:00+01",
        "12,8,201826,2020-02-03",
    ]
    persons = (
        PERSON + "7,8532,1961,5,4,P-7\n8,8507,1950,1,1,\n7,8532,1961,5,4,P-7\n6,8507,,,,P-6\n5,8507,1950,13,1,P-5\n"
    )
    tables(tmp_path, person=persons, condition_occurrence=header + "\n".join(lines) + "\n")
    found = read(tmp_path)
    assert [row.key for row in rows(found, "condition_occurrence")] == ["1", "10", "11"]
    assert told(found) == [
        (Reason.NO_PERSON, "person.csv line 3"),
        (Reason.DUPLICATE, "person.csv line 4: person_id"),
        (Reason.BAD_VALUE, "person.csv line 5: year_of_birth"),
        (Reason.BAD_DATE, "person.csv line 6: of the birth"),
        (Reason.DUPLICATE, "condition_occurrence.csv line 3: condition_occurrence_id"),
        (Reason.NO_PERSON, "condition_occurrence.csv line 4"),
        (Reason.NO_PERSON, "condition_occurrence.csv line 5: person_id"),
        (Reason.NO_DATE, "condition_occurrence.csv line 6: condition_start_date"),
        (Reason.BAD_DATE, "condition_occurrence.csv line 7: condition_start_date"),
        (Reason.BAD_DATE, "condition_occurrence.csv line 8: condition_start_date"),
        (Reason.NO_CODE, "condition_occurrence.csv line 9: condition_concept_id"),
        (Reason.BAD_CODE, "condition_occurrence.csv line 10: condition_concept_id"),
        (Reason.MALFORMED, "condition_occurrence.csv line 11: condition_occurrence_id is no number"),
        (Reason.MALFORMED, "condition_occurrence.csv line 12: 3 values, not 4"),
        (Reason.NO_PERSON, "condition_occurrence.csv line 15"),
    ]


def test_what_is_not_of_the_model_is_told_once_and_by_no_name_of_somebody(tmp_path: Path) -> None:
    tables(
        tmp_path,
        PERSON=PERSON.strip().upper()
        + ",SHOE_SIZE,John Smith\n7,8532,1961,5,4,P-7,44,1\n7000,8532,1961,5,4,P-9,44,1\n",
        note="note_id\n1\n",
        **{"John Smith": "a\n1\n"},
    )
    found = read(tmp_path)
    assert len(rows(found, "person")) == 2
    assert told(found) == [
        (Reason.UNSUPPORTED, "file 1"),
        (Reason.UNSUPPORTED, "note"),
        (Reason.UNKNOWN_COLUMN, "person.csv column shoe_size"),
        (Reason.UNKNOWN_COLUMN, "person.csv column 8"),
    ]


def test_a_birth_that_is_told_twice_and_differently_is_told(tmp_path: Path) -> None:
    header = PERSON.strip() + ",birth_datetime\n"
    same, other = "7,8532,1961,5,4,P-7,1961-05-04 06:30:00", "8,8532,1961,5,4,P-8,1962-05-04"
    tables(tmp_path, person=f"{header}{same}\n{other}\n")
    found = read(tmp_path)
    assert [row.values["birth_datetime"] for row in rows(found, "person")] == [datetime(1961, 5, 4, 6, 30)]
    assert told(found) == [
        (Reason.BAD_DATE, "person.csv line 3: of the birth: its parts differ from birth_datetime"),
    ]


def test_measurements_keep_number_unit_and_operator_and_free_text_stays_behind(tmp_path: Path) -> None:
    tables(
        tmp_path,
        person=PERSON + "7,8532,1961,,,P-7\n",
        measurement="measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,"
        "operator_concept_id,value_as_number,unit_concept_id,unit_source_value,value_source_value\n"
        "1,7,3027114,2020-02-03,2020-02-03 08:30:00.5,4171756,4.5,8753,mmol/L,<4.5 told by John\n"
        "2,7,3027114,2020-02-03,NULL,\\N,NA,,,\n"
        "3,7,3027114,2020-02-03,,,1e999,,,\n",
    )
    found = read(tmp_path)
    first, second = rows(found, "measurement")
    assert first.values["measurement_datetime"] == datetime(2020, 2, 3, 8, 30)
    assert (first.values["value_as_number"], first.values["unit_concept_id"]) == (4.5, 8753)
    assert first.values["operator_concept_id"] == 4171756
    assert "value_as_number" not in second.values
    assert told(found) == [(Reason.BAD_VALUE, "measurement.csv line 4: value_as_number")]
    assert rows(found, "person")[0].values == {"gender_concept_id": 8532, "year_of_birth": 1961}
    assert not any("John" in str(value) for row in (first, second) for value in row.values.values())


def test_parquet_says_the_same_as_csv_in_one_file_or_in_many(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    separate, together = tmp_path / "csv", tmp_path / "parquet"
    separate.mkdir()
    (together / "measurement").mkdir(parents=True)
    tables(
        separate,
        person=PERSON + "7,8532,1961,5,4,P-7\n",
        measurement="measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,"
        "value_as_number\n1,7,3027114,2020-02-03,2020-02-03 08:30:00,4.5\n2,7,3027114,2020-02-04,,\n",
    )
    person = {"PERSON_ID": [7], "gender_concept_id": [8532.0], "year_of_birth": [1961], "month_of_birth": [5]}
    parquet.write_table(
        pa.table(person | {"day_of_birth": [4], "person_source_value": ["P-7"]}), together / "person.parquet"
    )
    for number, (day, at, value) in enumerate(
        [(date(2020, 2, 3), datetime(2020, 2, 3, 8, 30), 4.5), (datetime(2020, 2, 4), None, float("nan"))], start=1
    ):
        table: Mapping[str, Any] = {
            "measurement_id": [number],
            "person_id": [7],
            "measurement_concept_id": [3027114],
            "measurement_date": [day],
            "measurement_datetime": pa.array([at], pa.timestamp("us", tz="UTC")),
            "value_as_number": [value],
        }
        parquet.write_table(pa.table(table), together / "measurement" / f"part-{number}.parquet")
    one, other = read(separate), read(together)
    assert told(one) == told(other) == []
    said = [[(row.table, row.key, row.values) for row in found if isinstance(row, Row)] for found in (one, other)]
    assert said[0] == said[1]


def test_times_finer_or_further_than_ours_are_cut_or_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    tables(tmp_path, person=PERSON + "7,8532,1961,5,4,P-7\n")
    row = {"death_date": pa.array([18262], pa.date32()), "person_id": [7]}
    parquet.write_table(
        pa.table(row | {"death_datetime": pa.array([1577836800_000000001], pa.timestamp("ns"))}),
        tmp_path / "death.parquet",
    )
    (death,) = rows(read(tmp_path), "death")
    assert death.values["death_datetime"] == datetime(2020, 1, 1)
    parquet.write_table(pa.table(row | {"death_date": pa.array([9_999_999], pa.date32())}), tmp_path / "death.parquet")
    with pytest.raises(RecordsRefused, match="can't be read as Parquet"):
        read(tmp_path)


def test_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "person.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(RecordsRefused, match="can't be read as Parquet"):
        read(tmp_path)


def test_a_folder_that_cannot_be_used_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(RecordsRefused, match="holds no table of OMOP"):
        read(tmp_path)
    tables(tmp_path, person="person_id,gender_concept_id,person_source_value\n7,8532,P-7\n")
    with pytest.raises(RecordsRefused, match="no column year_of_birth"):
        read(tmp_path)
    with pytest.raises(RecordsRefused, match="isn't a folder"):
        read(tmp_path / "person.csv")
    (tmp_path / "person.tsv").write_text("person_id\n")
    with pytest.raises(RecordsRefused, match="more than once"):
        read(tmp_path)
    with pytest.raises(RecordsRefused, match="no mapping"):
        reader("omop", Options(mapping="x.toml"))


def test_records_without_the_table_of_persons_need_a_link_by_their_number(tmp_path: Path) -> None:
    folder = tmp_path / "omop"
    folder.mkdir()
    tables(folder, condition_occurrence=CONDITION + "1,7,201826,2020-02-03,32817,,,\n")
    with pytest.raises(RecordsRefused, match="has no table person"):
        read(folder)
    link = tmp_path / "link.csv"
    link.write_text("PERSON_ID,patient_id\n7,P-7\n")
    (row,) = read(folder, link)
    assert isinstance(row, Row)
    assert row.person.patient_id == "P-7"


def test_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "person.csv").write_bytes((PERSON + "7,8532,1961,5,4,Ü7\n").encode("latin-1"))
    with pytest.raises(RecordsRefused, match=r"person\.csv: line 2 isn't UTF-8; save the file as UTF-8"):
        read(tmp_path)


CELL = st.sampled_from(
    ["", "7", "0", "-1", "2020-01-01", "20200101", "2020-13-01", "x", "1e9", "9" * 30, "\\N", "NaN", "1.5"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.sampled_from(RECORDS), data=st.data())
def test_whatever_stands_in_the_cells_a_row_fits_its_table_or_is_told(
    tmp_path: Path, table: str, data: st.DataObject
) -> None:
    names = [name for name in TABLES[table].names if name != "origin"]
    lines = data.draw(st.lists(st.lists(CELL, min_size=len(names), max_size=len(names)), max_size=4))
    for left in tmp_path.iterdir():
        left.unlink()
    tables(tmp_path, person=PERSON + "7,8532,1961,5,4,P-7\n")
    (tmp_path / f"{table}.csv").write_text("\n".join(",".join(line) for line in [names, *lines]) + "\n")
    found = [one for one in read(tmp_path) if table == "person" or not (isinstance(one, Row) and one.table == "person")]
    assert len(found) == len(lines)
    for row in found:
        if isinstance(row, Row):
            assert all(TABLES[row.table].column(name).kept for name in row.values)
            assert "person_source_value" not in row.values
