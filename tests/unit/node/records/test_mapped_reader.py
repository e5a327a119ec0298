"""Any CSV becomes records by its mapping file; a mapping with a fault is refused by its key, a row by its line."""

from __future__ import annotations

import csv
import io
import re
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.mapped.dates import date_format
from wardround.node.records.mapped.template import template
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, Rejected, Row
from wardround.node.records.schema import FEMALE, MALE, TABLES
from wardround.node.records.sources import Options, reader

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CLINIC = """
[file]
separator = ";"
decimal = ","
missing = ["", "?", "n/a"]
key = "{visit}"

[person]
number = "H-{patient}"
issuer = "CLINIC"
sex = { from = "{sex}", female = ["f", "w"], male = "m" }
birth = { from = "{born}", format = "%d.%m.%Y" }

[date]
from = "{seen}"
format = "%d.%m.%Y %H:%M"

[[record]]
table = "condition"
code = "ICD10:{icd}"
end = { from = "{until}", format = "%d.%m.%Y" }

[[record]]
table = "condition"
when = { column = "stroke", equals = "yes" }
code = "SNOMED:230690007"

[[record]]
table = "measurement"
code = "LOINC:14682-9"
value = "{crea}"
unit = "{unit}"
units = { "µmol/l" = "umol/L", "mg/dl" = "mg/dL" }

[[record]]
table = "observation"
codes = { from = "{smoker}", is = { y = "SNOMED:77176002", n = "SNOMED:8392000" } }

[[record]]
table = "visit"
concept = 9202

[[record]]
table = "death"
date = { from = "{died}", format = "%d.%m.%Y" }
"""
HEADER = "visit;patient;sex;born;seen;icd;until;stroke;crea;unit;smoker;died"
ROW = "v1;7;f;04.05.1961;3.2.2020 08:30;E11.9;5.2.2020;yes;<101,5;µmol/l;y;?"


def clinic(folder: Path, *lines: str, mapping: str = CLINIC, link: str = "") -> list[Row | Rejected]:
    (folder / "clinic.toml").write_text(mapping, encoding="utf-8")
    path = folder / "clinic.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    linked = None
    if link:
        linked = folder / "link.csv"
        linked.write_text(link)
    return list(reader("csv", Options(mapping=str(folder / "clinic.toml"), link=linked))(path))


def rows(found: list[Row | Rejected], table: str) -> list[Row]:
    return [one for one in found if isinstance(one, Row) and one.table == table and not one.removed]


def told(found: list[Row | Rejected]) -> list[tuple[Reason, str]]:
    return [(one.reason, one.where) for one in found if isinstance(one, Rejected)]


def test_one_row_gives_the_person_and_each_record_that_it_tells_of(tmp_path: Path) -> None:
    found = clinic(tmp_path, ROW)
    assert told(found) == []
    (person,), (number,), (observed,), (visit,) = (
        rows(found, table) for table in ("person", "measurement", "observation", "visit_occurrence")
    )
    diabetes, stroke = rows(found, "condition_occurrence")
    assert (person.person.patient_id, person.person.issuer) == ("H-7", "CLINIC")
    assert person.values == {"gender_concept_id": FEMALE, "birth_datetime": date(1961, 5, 4)}
    assert diabetes.values["condition_concept_id"] == Code("ICD10", "E11.9")
    assert diabetes.values["condition_start_datetime"] == datetime(2020, 2, 3, 8, 30)
    assert diabetes.values["condition_end_date"] == date(2020, 2, 5)
    assert stroke.values["condition_concept_id"] == Code("SNOMED", "230690007")
    assert number.values["value_as_number"] == 101.5
    assert number.values["operator_concept_id"] == 4171756
    assert number.values["unit_concept_id"] == Code("UCUM", "umol/L")
    assert observed.values["observation_concept_id"] == Code("SNOMED", "77176002")
    assert (visit.values["visit_concept_id"], visit.where) == (9202, "line 2")
    assert rows(found, "death") == []


def test_a_corrected_row_takes_back_what_it_no_longer_says_under_the_same_keys(tmp_path: Path) -> None:
    first = clinic(tmp_path, ROW)
    second = clinic(tmp_path, ROW.replace("yes", "no").replace("E11.9", "E10.9").replace("<101,5", "n/a"))
    kept = {(one.table, one.key): one.removed for one in second if isinstance(one, Row)}
    before = {(one.table, one.key) for one in first if isinstance(one, Row)}
    assert before == set(kept)
    gone = sorted(table for (table, _), removed in kept.items() if removed)
    assert gone == ["condition_occurrence", "measurement"]


def test_each_bad_cell_is_told_by_its_line_and_column_and_the_rest_of_the_row_is_taken(tmp_path: Path) -> None:
    found = clinic(
        tmp_path,
        "v1;;f;04.05.1961;3.2.2020 08:30;E11.9;;;;;;",
        "v2;7;x;04.05.1961;3.2.2020 08:30;E11.9;;;;;;",
        "v3;7;f;1961-05-04;3.2.2020 08:30;;;;;;;",
        "v4;7;f;;31.2.2020 08:30;E11.9;;;;;;",
        "v5;7;f;;;;;yes;;;;",
        "v6;7;f;;3.2.2020 08:30;E 11;;;1.5;mg/dl;;",
        "v7;7;f;;3.2.2020 08:30;;;;1,5;;maybe;",
        "v8;7;f;;3.2.2020 08:30;;;;1,5;stone;;",
        "v8;7;f;;3.2.2020 08:30;;;;1,5;mg/dl;;",
        ";7;f;;3.2.2020 08:30;;;;1,5;mg/dl;;",
        "v9;7;f;;3.2.2020",
    )
    assert told(found) == [
        (Reason.NO_PERSON, "line 2: H-{patient}"),
        (Reason.BAD_VALUE, "line 3: {sex}"),
        (Reason.BAD_DATE, "line 4: {born}"),
        *((Reason.BAD_DATE, f"line 5: {what}: {{seen}}") for what in ("condition ICD10:{icd}", "visit 9202")),
        *((Reason.NO_DATE, f"line 6: {what}") for what in ("condition SNOMED:230690007", "visit 9202")),
        (Reason.BAD_CODE, "line 7: condition ICD10:{icd}: ICD10:{icd}"),
        (Reason.BAD_VALUE, "line 7: measurement LOINC:14682-9: {crea}"),
        (Reason.UNIT_UNKNOWN, "line 8: measurement LOINC:14682-9: {unit}"),
        (Reason.BAD_CODE, "line 8: observation {smoker}: {smoker} isn't listed in codes"),
        (Reason.UNIT_MISFIT, "line 9: measurement LOINC:14682-9: {unit}"),
        (Reason.DUPLICATE, "line 10: file.key {visit}"),
        (Reason.MALFORMED, "line 11: file.key {visit} says nothing"),
        (Reason.MALFORMED, "line 12: 5 values, not 12"),
    ]
    assert len(rows(found, "condition_occurrence")) == 1


def test_a_link_file_says_whom_the_images_know_a_row_by(tmp_path: Path) -> None:
    other = ROW.replace("v1;7", "v2;8")
    found = clinic(tmp_path, ROW, other, link="number,patient_id,issuer\nH-7,9990001113,NHS\n")
    assert {(row.person.patient_id, row.person.issuer) for row in found if isinstance(row, Row)} == {
        ("9990001113", "NHS")
    }
    assert told(found) == [(Reason.NOT_LINKED, "line 3")]


@pytest.mark.parametrize("link", ["", "number,patient_id\nH-7,9\nH-8,10\n"])
def test_further_numbers_of_a_patient_go_with_them_for_opt_outs(tmp_path: Path, link: str) -> None:
    mapping = CLINIC.replace('issuer = "CLINIC"', 'others = { number = "{smoker}", issuer = "NHS" }')
    found = clinic(tmp_path, ROW, "v2;8;f;;3.2.2020 08:30;;;;;;;", mapping=mapping, link=link)
    assert [row.person.others for row in rows(found, "person")] == [(("y", "NHS"),), ()]


def test_a_person_is_told_once_and_again_where_a_row_contradicts(tmp_path: Path) -> None:
    same, other = ROW.replace("v1", "v2"), ROW.replace("v1", "v3").replace("1961", "1962")
    assert len(rows(clinic(tmp_path, ROW, same), "person")) == 1
    assert len(rows(clinic(tmp_path, ROW, same, other), "person")) == 2


def test_ages_on_several_days_are_one_person_of_that_age_on_each(tmp_path: Path) -> None:
    mapping = CLINIC.replace('birth = { from = "{born}", format = "%d.%m.%Y" }', 'age = { years = "{born}" }')
    found = clinic(
        tmp_path,
        "v1;7;f;63;30.6.1988 00:00;;;;;;;",
        "v2;7;f;65;1.12.1990 00:00;;;;;;;",
        "v3;8;f;old;1.7.1990 00:00;;;;;;;",
        "v4;9;f;140;1.7.1990 00:00;;;;;;;",
        "v5;10;f;40;;;;;;;;",
        mapping=mapping,
    )
    (person,) = rows(found, "person")
    assert person.values == {"gender_concept_id": FEMALE, "year_of_birth": 1924, "month_of_birth": 12}
    assert [reason for reason, _ in told(found)] == [Reason.BAD_VALUE, Reason.BAD_VALUE, Reason.NO_DATE, Reason.NO_DATE]


@QUICK
@given(st.dates(date(1930, 1, 1), date(2030, 12, 31)), st.integers(0, 110))
def test_whoever_is_so_old_on_a_day_is_so_old_on_it_wherever_in_the_month_they_were_born(day: date, age: int) -> None:
    from wardround.node.records.mapped.mapping import AgeFrom, Day, Person
    from wardround.node.records.mapped.values import born

    person = Person(number=template("{n}"), age=AgeFrom(years=template("{age}"), at=Day(on=day)))
    values = born(person, None, {"age": str(age)}, ".")
    year, month = values["year_of_birth"], values["month_of_birth"]
    assert isinstance(year, int) and isinstance(month, int)
    for first in (date(year, month, 1), date(year, month, 28)):
        assert day.year - first.year - ((day.month, day.day) < (first.month, first.day)) == age


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('key = "{visit}"', 'keys = "{visit}"', "file keys isn't known; known there: columns, decimal, encoding"),
        ('code = "SNOMED:230690007"', 'codee = "x"', "record 2 codee isn't known; known there: answer, code, codes"),
        ('number = "H-{patient}"', "", "person number is missing; add it"),
        ('"H-{patient}"', '"H-{patient"', "person number: 'H-{patient' has a brace without its other"),
        ('"H-{patient}"', '"{#line}"', "{#line} isn't known; there are {#row} and {#file}"),
        ('"H-{patient}"', '"{patients}"', "there is no column 'patients', which the mapping names"),
        ('"%d.%m.%Y %H:%M"', '"%d.%m.%y"', "a year of two digits is of no certain century"),
        ('"%d.%m.%Y %H:%M"', '"%m.%Y"', "has no day; a record needs a whole date"),
        ('"%d.%m.%Y %H:%M"', '"%d %Y"', "has to say the year and, with a day, one month"),
        ('"ICD10:{icd}"', '"{icd}"', "isn't a code; write its vocabulary, a colon and the code"),
        ('"mg/dL"', '"mg/dl"', "where capitals count; write mg/dL"),
        ('table = "visit"', 'table = "scan"', "record 5 table is 'scan'"),
        ('when = { column = "stroke", equals = "yes" }', 'when = { column = "stroke" }', "neither equals nor above"),
        ('code = "SNOMED:230690007"', 'code = "ICD10:{icd}"', "record 2 has the table and the code of one before it"),
        ('code = "SNOMED:230690007"', "", "says nothing; give code"),
        ("concept = 9202", 'concept = 9202\nvalue = "{crea}"', "value is for a measurement or an observation"),
        ("concept = 9202", 'concept = 9202\ncode = "Visit:OP"', "has code and concept; keep one"),
        ('male = "m"', 'male = "f"', "says a code for no sex, or one code for two"),
        ('separator = ";"', 'separator = ";;"', "file separator is ';;'"),
        ('separator = ";"', 'encoding = "ebcdic"', "encoding 'ebcdic' isn't known; known: utf-8"),
        ('separator = ";"', 'separator = ","', "decimal and separator are the same"),
        ("[date]", "[dates]", "dates isn't known; known there: about, date, file, person, record"),
        ('from = "{seen}"', 'from = "{seen}"\non = 2020-01-01', "needs either from (a column) or on"),
        ('from = "{seen}"', 'on = "soon"', "date on is 'soon'"),
        ("[file]", "[file", "not valid TOML"),
    ],
)
def test_a_mapping_with_a_fault_is_refused_by_file_key_and_mend(
    tmp_path: Path, before: str, after: str, words: str
) -> None:
    assert before in CLINIC
    with pytest.raises(RecordsRefused) as refused:
        clinic(tmp_path, ROW, mapping=CLINIC.replace(before, after, 1))
    assert words in str(refused.value)
    assert "clinic." in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("page", ["how-to/map-a-csv.md", "tutorial/health-records.md"])
def test_the_mappings_on_the_pages_are_taken_as_they_stand_but_for_the_fault_that_is_shown(
    tmp_path: Path, page: str
) -> None:
    text = (Path(__file__).parents[4] / "docs" / page).read_text(encoding="utf-8")
    [mapping] = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    path = tmp_path / "page.toml"
    path.write_text(mapping, encoding="utf-8")
    if "tutorial" in page:
        with pytest.raises(RecordsRefused, match="record 2 unit: 'umol/l' isn't a unit of UCUM"):
            reader("csv", Options(mapping=str(path)))
    else:
        reader("csv", Options(mapping=str(path)))


def test_a_csv_without_a_mapping_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(RecordsRefused, match="lgg-mri, uci-heart"):
        reader("csv", Options())
    with pytest.raises(RecordsRefused, match=r"lgg-mri, uci-heart"):
        reader("csv", Options(mapping=str(tmp_path / "none.toml")))


def test_a_folders_files_are_read_by_their_names_and_called_by_numbers(tmp_path: Path) -> None:
    mapping = tmp_path / "m.toml"
    mapping.write_text(
        '[file]\nfiles = "*.data"\n[person]\nnumber = "{#file}-{#row}"\nsex = { from = "{s}", male = 1 }\n'
    )
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("john.data", "ann.data"):
        (folder / name).write_text("s\n1\n1.0\n2\n")
    (folder / "notes.txt").write_text("x")
    found = list(reader("csv", Options(mapping=str(mapping)))(folder))
    assert [row.person.patient_id for row in rows(found, "person")] == ["ann-1", "ann-2", "john-1", "john-2"]
    assert {row.values["gender_concept_id"] for row in rows(found, "person")} == {MALE}
    assert told(found) == [(Reason.BAD_VALUE, "file 1 line 4: {s}"), (Reason.BAD_VALUE, "file 2 line 4: {s}")]
    with pytest.raises(RecordsRefused, match="no file here is called"):
        list(reader("csv", Options(mapping=str(mapping)))(tmp_path / "in" / ".."))


@pytest.mark.parametrize(
    ("form", "text", "day"),
    [
        ("%Y%m%d", "19960909", date(1996, 9, 9)),
        ("%Y%m%d", "199699", None),
        ("%d/%m/%Y", "1/2/2020", date(2020, 2, 1)),
        ("%d-%b-%Y", "01-FEB-2020", date(2020, 2, 1)),
        ("%d-%b-%Y", "01-Fév-2020", None),
        ("%Y-%m-%d", "2020-02-30", None),
        ("%Y-%m-%d", "٢٠٢٠-01-01", None),
    ],
)
def test_dates_are_read_by_their_format_and_by_nothing_else(form: str, text: str, day: date | None) -> None:
    found = date_format(form).read(text)
    assert (None if found is None else found.whole) == day


CELL = st.one_of(
    st.sampled_from(
        ["", "?", "f", "yes", "E11.9", "04.05.1961", "3.2.2020 08:30", "101,5", "mg/dl", "y", "7", "{sex}"]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
)


@QUICK
@given(st.lists(st.lists(CELL, min_size=11, max_size=13), max_size=6), st.sampled_from(["\n", "\r\n", "\r"]))
def test_whatever_a_csv_holds_every_row_fits_its_table_or_is_told(
    tmp_path: Path, lines: list[list[str]], end: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator=end).writerows([HEADER.split(";"), *lines])
    (tmp_path / "clinic.toml").write_text(CLINIC, encoding="utf-8")
    path = tmp_path / "clinic.csv"
    path.write_bytes(text.getvalue().encode("utf-8-sig"))
    found = list(reader("csv", Options(mapping=str(tmp_path / "clinic.toml")))(path))
    keys = [(row.table, row.key) for row in found if isinstance(row, Row) and row.table not in ("death", "person")]
    assert len(keys) == len(set(keys))
    for row in found:
        if isinstance(row, Row):
            assert row.person.patient_id.startswith("H-")
            assert all(TABLES[row.table].column(name).kept for name in row.values)
        else:
            assert "H-" not in row.where.replace("H-{patient}", "")
