"""HL7 v2 messages become OMOP rows, or are told as rejected, without an identifier."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardround.node.records.hl7 import er7
from wardround.node.records.hl7.conventions import Conventions, read_conventions
from wardround.node.records.hl7.er7 import Delimiters, NotAMessage, parse
from wardround.node.records.hl7.reader import message_records
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Code, Rejected, Row
from wardround.node.records.schema import MALE, TABLES
from wardround.node.records.sources import Options, reader

SECRET = "ZQX4711"
PID = f"PID|1||{SECRET}^^^TRUST^MR~9434765919^^^NHS^NH||Doe^{SECRET}||19610504|M||2106-3^White^CDCREC"
PV1 = "PV1|1|I|W1||||||||||||||||V77^^^TRUST" + "|" * 25 + "20210102083000|20210105"


def header(kind: str = "ADT^A01", **more: str) -> str:
    said = {"control": "MSG1", "mode": "P", "version": "2.5.1", "set": "", **more}
    start = rf"MSH|^~\&|LAB|TRUST|WR|TRUST|20210102||{kind}"
    return f"{start}|{said['control']}|{said['mode']}|{said['version']}||||||{said['set']}"


def obx(value: str, kind: str = "NM", unit: str = "mmol/L", status: str = "F", code: str = "2345-7^Glucose^LN") -> str:
    return f"OBX|1|{kind}|{code}||{value}|{unit}|3.9-5.8|||N|{status}|||20210102101500+0000"


def oru(*results: str, order: str = "OBR|1||F99^LAB|24320-4^Panel^LN|||20210102") -> str:
    return "\r".join([header("ORU^R01"), PID, order, *results]) + "\r"


def told(message: str, conventions: Conventions | None = None) -> list[Row | Rejected]:
    return list(message_records(message.encode(), conventions or Conventions(), "message 1"))


def rows(found: Iterable[Row | Rejected], table: str) -> list[Row]:
    return [one for one in found if isinstance(one, Row) and one.table == table]


def rejected(found: Iterable[Row | Rejected]) -> list[Reason]:
    return [one.reason for one in found if isinstance(one, Rejected)]


def test_an_admission_is_a_person_a_visit_and_its_final_diagnoses() -> None:
    final = "DG1|1||C71.9^Glioma^I10||20210103|F"
    found = told(
        "\r".join([header(), PID, PV1, final, "DG1|2||C71.1^Glioma^I10||20210103|W", "PR1|1||A05.1^x^OPCS4||20210104"])
    )
    (person,), (visit,) = rows(found, "person"), rows(found, "visit_occurrence")
    assert person.person.patient_id == SECRET
    assert person.person.others == (("9434765919", ""),)
    assert person.values["gender_concept_id"] == MALE
    assert person.values["birth_datetime"] == date(1961, 5, 4)
    assert person.values["race_concept_id"] == (Code("CDCREC", "2106-3"), Code("Race", "5"))
    assert visit.values["visit_concept_id"] == 9201
    assert visit.values["visit_start_datetime"] == datetime(2021, 1, 2, 8, 30)
    assert visit.values["visit_end_date"] == date(2021, 1, 5)
    (condition,), (procedure,) = rows(found, "condition_occurrence"), rows(found, "procedure_occurrence")
    assert condition.values["condition_concept_id"] == (Code("ICD10", "C71.9"),)
    assert condition.values["visit_occurrence_id"] == visit.key
    assert procedure.values["procedure_date"] == date(2021, 1, 4)
    assert rejected(found) == [Reason.NOT_FINAL]


def test_a_cancelled_admission_takes_the_visit_back() -> None:
    (visit,) = rows(told("\r".join([header("ADT^A01"), PID, PV1])), "visit_occurrence")
    (gone,) = rows(told("\r".join([header("ADT^A11"), PID, PV1])), "visit_occurrence")
    assert gone.removed
    assert gone.key == visit.key


def test_an_admission_without_its_time_takes_the_events() -> None:
    visit = "PV1|1|E|||||||||||||||||V77"
    (row,) = rows(told("\r".join([header(), "EVN|A01|202101020930", PID, visit])), "visit_occurrence")
    assert row.values["visit_start_datetime"] == datetime(2021, 1, 2, 9, 30)
    assert rejected(told("\r".join([header("ADT^A08"), "EVN|A08|202101020930", PID, visit]))) == [Reason.NO_DATE]


def test_a_deleted_diagnosis_is_taken_back() -> None:
    said = "DG1|1||C71.9^Glioma^I10||20210103|F"
    (kept,) = rows(told("\r".join([header(), PID, PV1, said])), "condition_occurrence")
    (gone,) = rows(told("\r".join([header("ADT^A08"), PID, PV1, said + "|" * 15 + "D"])), "condition_occurrence")
    assert (gone.removed, gone.key) == (True, kept.key)


def test_a_death_and_its_denial() -> None:
    (row,) = rows(told("\r".join([header("ADT^A08"), PID + "|" * 18 + "|20210303|Y"])), "death")
    assert row.values["death_date"] == date(2021, 3, 3)
    (row,) = rows(told("\r".join([header("ADT^A31"), PID + "|" * 18 + "||N"])), "death")
    assert row.removed
    assert rejected(told("\r".join([header("ADT^A31"), PID + "|" * 18 + "||Y"]))) == [Reason.NO_DATE]


def test_a_result_keeps_its_value_unit_range_and_time() -> None:
    (row,) = rows(told(oru(obx("6.4"))), "measurement")
    assert row.values["measurement_concept_id"] == (Code("LOINC", "2345-7"),)
    assert row.values["value_as_number"] == 6.4
    assert row.values["unit_concept_id"] == Code("UCUM", "mmol/L")
    assert (row.values["range_low"], row.values["range_high"]) == (3.9, 5.8)
    assert row.values["measurement_datetime"] == datetime(2021, 1, 2, 10, 15)


@pytest.mark.parametrize(
    ("said", "number", "operator"),
    [
        (obx("<^0.5", "SN"), 0.5, 4171756),
        (obx("^12", "SN"), 12, None),
        (obx(">=90", "ST"), 90, 4171755),
        (obx("^1^:^128", "SN"), None, None),
        (obx("see the comment", "ST"), None, None),
        (obx("12", "ST", unit=""), None, None),
        (obx("20210102", "DT"), None, None),
    ],
)
def test_a_structured_number_is_one_where_it_is_single(said: str, number: float | None, operator: int | None) -> None:
    (row,) = rows(told(oru(said)), "measurement")
    assert (row.values.get("value_as_number"), row.values.get("operator_concept_id")) == (number, operator)


def test_a_coded_result_takes_the_code_that_is_known_wherever_it_stands() -> None:
    (row,) = rows(told(oru(obx("L7^x^L^10828004^Positive^SCT", "CWE", unit=""))), "measurement")
    assert row.values["value_as_concept_id"] == (Code("SNOMED", "10828004"),)


def test_a_result_of_imaging_is_an_observation() -> None:
    order = "OBR|1||R1|24590-2^MR^LN|||20210102" + "|" * 17 + "RAD"
    (row,) = rows(told(oru(obx("x", "TX", unit=""), order=order)), "observation")
    assert "value_as_number" not in row.values


def test_a_correction_takes_the_place_of_what_it_corrects() -> None:
    (first,) = rows(told(oru(obx("6.4"))), "measurement")
    (corrected,) = rows(told(oru(obx("5.4", status="C"))), "measurement")
    assert (first.key, corrected.values["value_as_number"]) == (corrected.key, 5.4)
    (other,) = rows(told(oru(obx("6.4"), order="OBR|1||F98^LAB|x|||20210102")), "measurement")
    assert other.key != first.key


def test_a_result_of_the_wrong_patient_goes_whoever_has_it() -> None:
    (first,) = rows(told(oru(obx("6.4"))), "measurement")
    found = told(oru(obx("", status="W")).replace(SECRET, "other"))
    (gone,) = rows(found, "measurement")
    assert (gone.removed, gone.key) == (True, first.key)
    assert rejected(found) == [Reason.ENTERED_IN_ERROR]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (oru(obx("6.4", status="P")), Reason.NOT_FINAL),
        (oru(obx("6.4", status="")), Reason.NOT_FINAL),
        (oru(obx("", status="X")), Reason.UNSUPPORTED),
        (oru(obx("six")), Reason.BAD_VALUE),
        (oru(obx("6.4", unit="about a spoonful")), Reason.UNIT_UNKNOWN),
        (oru(obx("6.4", unit="x^x^L")), Reason.UNIT_UNKNOWN),
        (oru(obx("6.4", code="GLU^Glucose^L")), Reason.BAD_CODE),
        (oru(obx("6.4", code="^Glucose")), Reason.NO_CODE),
        (oru(obx("1~2")), Reason.UNSUPPORTED),
        (oru(obx("6.4").replace("20210102101500+0000", "20211302")), Reason.BAD_DATE),
        (oru(obx("6.4").replace("20210102101500+0000", "2021")), Reason.BAD_DATE),
        (oru(obx("6.4").replace("|20210102101500+0000", ""), order="OBR|1||F99|x"), Reason.NO_DATE),
        ("\r".join([header("ORU^R01"), PID, obx("6.4")]), Reason.MALFORMED),
        ("\r".join([header("ADT^A40"), PID, "MRG|" + SECRET]), Reason.UNSUPPORTED),
        ("\r".join([header("ADT^A23"), PID]), Reason.UNSUPPORTED),
        ("\r".join([header("ORM^O01"), PID]), Reason.UNSUPPORTED),
        ("\r".join([header(version="2.9"), PID]), Reason.UNSUPPORTED),
        ("\r".join([header(mode="T"), PID]), Reason.UNSUPPORTED),
        ("\r".join([header(control=""), PID]), Reason.MALFORMED),
        (header(), Reason.MALFORMED),
        ("\r".join([header(), f"PID|||{SECRET}^^^A^MR~{SECRET}2^^^B^MR"]), Reason.NO_PERSON),
        ("\r".join([header(), "PID|||9434765919^^^NHS^NH"]), Reason.NO_PERSON),
        ("\r".join([header(set="ISO IR87"), PID]), Reason.MALFORMED),
        (f"PID|||{SECRET}", Reason.MALFORMED),
        (f"MSH|^^\\&|{SECRET}\r{PID}", Reason.MALFORMED),
    ],
)
def test_what_isnt_taken_says_why_without_a_word_of_it(message: str, reason: Reason) -> None:
    found = told(message)
    assert rejected(found) == [reason]
    assert not [one for one in found if isinstance(one, Row) and not one.removed]
    assert SECRET not in str([one for one in found if isinstance(one, Rejected)])


def test_the_mapping_on_the_page_is_taken_as_it_stands(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs/how-to/load-records.md").read_text(encoding="utf-8")
    [mapping] = [one for one in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[identifiers]" in one]
    path = tmp_path / "hl7.toml"
    path.write_text(mapping, encoding="utf-8")
    found = read_conventions(path)
    assert found.identifiers["TRUST"] == ""
    assert found.code("https://trust.example/ward-codes", "W1") == Code("TrustLocal", "W1")


def test_a_mapping_says_whose_number_counts(tmp_path: Path) -> None:
    mapping, messages = tmp_path / "trust.toml", tmp_path / "one.hl7"
    mapping.write_text('[identifiers]\n"NHS" = "NHS"\n"TRUST" = ""\n[vocabularies]\n"L" = "TrustLab"\n')
    messages.write_text(oru(obx("6.4", code="GLU^Glucose^L")))
    (row,) = reader("hl7", Options(mapping=str(mapping)))(messages)
    assert isinstance(row, Row)
    assert (row.person.patient_id, row.person.issuer) == ("9434765919", "NHS")
    assert row.values["measurement_concept_id"] == (Code("TrustLab", "GLU"),)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("framed", [False, True])
def test_files_of_many_messages_in_any_framing(tmp_path: Path, end: str, framed: bool) -> None:
    one, two = oru(obx("6.4")).replace("\r", end), oru(obx("5.4")).replace("\r", end)
    whole = f"FHS|^~\\&{end}BHS|^~\\&{end}{one}{two}BTS|2{end}FTS|1{end}"
    if framed:
        whole = f"\x0b{one}\x1c\r\x0b{two}\x1c\r"
    (tmp_path / "some.hl7").write_bytes(whole.encode())
    found = list(reader("hl7", Options())(tmp_path))
    assert [row.values["value_as_number"] for row in rows(found, "measurement")] == [6.4, 5.4]
    assert not rejected(found)


def test_a_message_that_is_too_large_is_told_and_the_next_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(er7, "LARGEST_MESSAGE", 100_000)
    large = oru(obx("6.4"), *(f"NTE|1||{'x' * 60_000}" for _ in range(4)))
    (tmp_path / "some.hl7").write_text(large + oru(obx("5.4")), newline="")
    found = list(reader("hl7", Options())(tmp_path / "some.hl7"))
    assert rejected(found) == [Reason.TOO_LARGE]
    assert [row.values["value_as_number"] for row in rows(found, "measurement")] == [5.4]


def test_other_delimiters_and_character_sets_are_understood() -> None:
    own = oru(obx("6.4")).replace("~", "!").replace("^", "*").replace("|", "$")
    (row,) = rows(told(own), "measurement")
    assert row.values["value_as_number"] == 6.4
    latin = header(set="8859/1") + "\rPID|||Ä1^^^T^MR"
    (row,) = list(message_records(latin.encode("latin-1"), Conventions(), ""))
    assert isinstance(row, Row)
    assert row.person.patient_id == "Ä1"


def test_a_number_in_another_character_set_than_was_said_names_nobody() -> None:
    wrong = header() + "\rPID|||Ä1^^^T^MR"
    assert rejected(message_records(wrong.encode("latin-1"), Conventions(), "")) == [Reason.NO_PERSON]


@given(text=st.text(max_size=40))
def test_escapes_are_undone(text: str) -> None:
    marks = Delimiters("|", "^", "~", "\\", "&")
    escaped = marks.escape_text(text)
    assert not set(escaped) & set("|^~&\r\n")
    assert marks.unescape(escaped) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"a\T\b", "a&b"),
        (r"\X41C3A9\.", "Aé."),
        (r"\.br\x", " x"),
        (r"\H\x\N\ ", "x "),
        (r"c:\d", r"c:\d"),
        (r"\q\T\x", r"\q&x"),
    ],
)
def test_escapes_of_the_standard_and_none(text: str, plain: str) -> None:
    assert Delimiters("|", "^", "~", "\\", "&").unescape(text) == plain


WHOLE = (
    "\r".join([header(), PID, PV1, "DG1|1||C71.9^Glioma^I10||20210103|F"]).encode() + b"\r" + oru(obx("6.4")).encode()
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_messages_end_as_rows_or_rejected(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        piece = data.draw(
            st.sampled_from([b"|", b"^", b"\\X", b"~", b"\r", b"MSH", b'""', b"\x00"]) | st.binary(max_size=4)
        )
        raw[at : at + data.draw(st.integers(0, 30))] = piece
    path = tmp_path / "x.hl7"
    path.write_bytes(bytes(raw))
    for one in reader("hl7", Options())(path):
        if isinstance(one, Row):
            table = TABLES[one.table]
            assert set(one.values) <= set(table.names)
            assert not any(name.endswith("_source_value") or not table.column(name).kept for name in one.values)
        else:
            assert SECRET not in one.where


@given(raw=st.binary(max_size=300))
def test_whatever_bytes_there_are_parse_or_arent_a_message(raw: bytes) -> None:
    for given_bytes in (raw, b"MSH|^~\\&|" + raw):
        try:
            parse(given_bytes)
        except NotAMessage as refused:
            assert str(refused).isascii()


@given(value=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4))
def test_a_number_comes_out_as_it_went_in(value: object) -> None:
    (row,) = rows(told(oru(obx(f"{value}"))), "measurement")
    assert row.values["value_as_number"] == float(str(value))


def test_messages_that_another_library_writes_are_read() -> None:
    hl7apy = pytest.importorskip("hl7apy.core")
    message = hl7apy.Message("ORU_R01", version="2.5.1")
    message.msh.msh_9, message.msh.msh_10, message.msh.msh_11 = "ORU^R01^ORU_R01", "7", "P"
    patient = message.add_group("oru_r01_patient_result")
    patient.add_group("oru_r01_patient").add_segment("PID").pid_3 = f"{SECRET}^^^TRUST^MR"
    order = patient.add_group("oru_r01_order_observation")
    obr = order.add_segment("OBR")
    obr.obr_3, obr.obr_4, obr.obr_7 = "F1", "24320-4^Panel^LN", "20210102"
    result = order.add_group("oru_r01_observation").add_segment("OBX")
    result.obx_2, result.obx_3, result.obx_11 = "ST", "2345-7^Glucose^LN", "F"
    result.obx_5, result.obx_6 = "6.4", "mmol/L^^UCUM"
    (row,) = rows(told(message.to_er7()), "measurement")
    assert (row.values["value_as_number"], row.values["unit_concept_id"]) == (6.4, Code("UCUM", "mmol/L"))
