"""What is asked to be pulled is read from tables and lists; what can't be asked is refused by its line, unquoted."""

from __future__ import annotations

import csv
from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.contracts.cohort_query import CohortQuestion
from wardround.node.retrieve.asks import Ask, AskRefused, check, once, read_asks

VALUE = st.text(alphabet="AB12 -,;\"'", min_size=1, max_size=12).filter(lambda text: text.strip() == text)
DAY = date(2025, 1, 31)


def read(tmp_path: Path, text: str | bytes, **dates: date) -> list[Ask]:
    file = tmp_path / "asks.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_asks(file, **dates)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_is_read_by_its_heading(tmp_path: Path, mark: str) -> None:
    rows = [
        ["\ufeffPatient_ID", "from", "to", "Modality", "AccessionNumber"],
        ["P 1", "2025-01-31", "", "MR", ""],
        ["", "", "", "", "A2"],
    ]
    lines = ["# from the registry", "", *(mark.join(row) for row in rows)]
    lines[2] = lines[2].lstrip("\ufeff")
    assert read(tmp_path, "\ufeff" + "\r\n".join(lines), last=date(2025, 12, 1)) == [
        Ask(patient_id="P 1", first=DAY, last=date(2025, 12, 1), modality="MR"),
        Ask(accession="A2", last=date(2025, 12, 1)),
    ]


def test_a_plain_list_is_accession_numbers_each_once(tmp_path: Path) -> None:
    assert read(tmp_path, "A1\n\n#A9\n A2 \nA1\n") == [Ask(accession="A1"), Ask(accession="A2")]


@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=5))
def test_cells_come_back_whatever_they_hold(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    table = StringIO()
    csv.writer(table, lineterminator="\n").writerows([("accession", "patient_id"), *rows])
    asks = read(tmp_path_factory.mktemp("asks"), table.getvalue())
    assert [(ask.accession, ask.patient_id) for ask in asks] == list(dict.fromkeys(rows))


@given(st.binary(max_size=200))
def test_any_file_is_asks_or_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    try:
        asks = read(tmp_path_factory.mktemp("asks"), data)
    except AskRefused:
        return
    assert asks


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "nothing is asked"),
        ("accession,colour\nA1,red", "line 1: unknown column"),
        ("accession,from\nSECRET,yesterday", "line 2: a date"),
        ("accession,from,to\nSECRET,2025-02-01,2025-01-01", "line 2: the first day"),
        ("patient_id,modality\nSECRET,M*", "line 2: the modality"),
        ("accession\nSECRET,b", "line 2: more cells"),
        ("accession,patient_id\n,", "line 2: names no study"),
        ("SECRET*", "line 1"),
        ("A1\nSECRET\\A2", "line 2"),
        ('{"no": "question"}', "cohort question"),
        ('accession\n"SECRET', "line 2: a quotation mark"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_line(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(AskRefused) as refused:
        read(tmp_path, text)
    assert told in str(refused.value) and "SECRET" not in str(refused.value)


def test_what_a_line_doesnt_say_is_what_was_said_beside_it_and_each_ask_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "asks.csv"
    file.write_text("accession,modality\nA1,\nA1,mr\nA2,CT\n")
    assert read_asks(file, last=DAY, modality="mr") == [
        Ask(accession="A1", last=DAY, modality="MR"),
        Ask(accession="A2", last=DAY, modality="CT"),
    ]
    file.write_text("A1\n")
    with pytest.raises(AskRefused, match=r"line 1: the modality isn't a defined term"):
        read_asks(file, modality="M*")
    file.write_text(CohortQuestion().model_dump_json())
    with pytest.raises(AskRefused, match="leave the modality out"):
        read_asks(file, first=DAY, last=DAY, modality="MR")


def test_a_question_needs_dates_and_is_asked_month_by_month(tmp_path: Path) -> None:
    question = CohortQuestion().model_dump_json()
    with pytest.raises(AskRefused, match="--from and --to"):
        read(tmp_path, question)
    [ask] = read(tmp_path, question, first=date(2024, 12, 15), last=date(2025, 3, 1))
    windows = list(ask.windows())
    assert (windows[0][0], windows[-1][1]) == (date(2024, 12, 15), date(2025, 3, 1))
    days = sum((last - first).days + 1 for first, last in windows if first and last)
    assert days == (date(2025, 3, 1) - date(2024, 12, 15)).days + 1


def test_an_ask_survives_being_kept_and_shows_no_identifier() -> None:
    for ask in (
        Ask(accession="A1", patient_id="P", study_uid="1.2", first=DAY, modality="CT"),
        Ask(question=CohortQuestion(), first=DAY, last=DAY),
    ):
        assert Ask.from_json(ask.to_json()) == ask
    assert "SECRET" not in repr(Ask(accession="SECRET", patient_id="SECRET", study_uid="SECRET"))


def test_identifiers_are_trimmed_and_are_no_patterns() -> None:
    assert check(Ask(accession=" A1 "), "x") == Ask(accession="A1")
    for wrong in (Ask(study_uid="1.2.x"), Ask(patient_id="P?"), Ask(accession="x" * 100), Ask()):
        with pytest.raises(AskRefused):
            check(wrong, "x")
    with pytest.raises(AskRefused):
        once([])
