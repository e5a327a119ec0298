"""Separated values are read row by row: what can't be read is told by its line, and everything else is given."""

from __future__ import annotations

import csv
import io
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardround.node.records.errors import RecordsRefused
from wardround.node.records.reasons import Reason
from wardround.node.records.row import Rejected
from wardround.node.records.tabular import delimited
from wardround.node.records.tabular.delimited import Delimited, Form, Line, separator_of

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path: Path, form: Form = Form()) -> list[Line | Rejected]:
    with closing(Delimited(path, form)) as file:
        return list(file.rows())


def told(found: list[Line | Rejected]) -> list[tuple[Reason, str]]:
    return [(one.reason, one.where) for one in found if isinstance(one, Rejected)]


def cells(found: list[Line | Rejected]) -> list[list[str]]:
    return [one.cells for one in found if isinstance(one, Line)]


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@QUICK
@given(
    rows=st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_was_written_is_read_whatever_quotes_ends_and_marks_it_has(
    tmp_path: Path, rows: list[list[str]], separator: str, end: str, encoding: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b", "c"], *rows])
    path = tmp_path / "f.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    found = read(path, Form(separator, "utf-16" if encoding == "utf-16" else "utf-8"))
    assert cells(found) == rows
    assert told(found) == []


@QUICK
@given(st.binary(max_size=400), st.sampled_from(list(delimited.ENCODINGS)))
def test_any_bytes_are_read_or_refused_and_never_more(tmp_path: Path, raw: bytes, encoding: str) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"a,b\n" + raw)
    try:
        found = read(path, Form(encoding=encoding))
    except RecordsRefused as refused:
        assert str(path) in str(refused)
    else:
        assert all(len(row) == 2 for row in cells(found))
        assert all(one.where.startswith("line") for one in found)


@QUICK
@given(st.lists(st.sampled_from(["1,2", "1", "1,2,3", "", "\0,2"]), max_size=10))
def test_ragged_rows_and_nul_are_told_and_no_row_is_silent(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "f.csv"
    path.write_text("a,b\n" + "\n".join(lines) + "\n", encoding="utf-8")
    found = read(path)
    assert len(found) == len([line for line in lines if line])
    assert cells(found) == [["1", "2"]] * lines.count("1,2")


def test_each_fault_is_told_by_its_line_and_the_rows_around_it_are_given(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b'a,b\r\n1,2\r\n3\r\n\r\n"x\ny",4\r\n5,\x00\r\n"q"r,6\r\n7,8\r\n')
    found = read(path)
    assert cells(found) == [["1", "2"], ["x\ny", "4"], ["7", "8"]]
    assert told(found) == [
        (Reason.MALFORMED, "line 3: 1 values, not 2"),
        (Reason.MALFORMED, "line 7: NUL characters"),
        (Reason.MALFORMED, "line 8: quotes that don't match"),
    ]
    assert [one.number for one in found if isinstance(one, Line)] == [1, 3, 6]


def test_another_encoding_is_refused_by_file_line_and_mend(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes("a,b\n1,2\nGrün,3\n".encode("windows-1252"))
    with pytest.raises(RecordsRefused, match=r"f\.csv: line 3 isn't UTF-8; save the file as UTF-8"):
        read(path)
    assert cells(read(path, Form(encoding="windows-1252"))) == [["1", "2"], ["Grün", "3"]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_known_for_what_it_is(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes("a,b\n1,2\n".encode(encoding))
    with pytest.raises(RecordsRefused, match=r"line 1 (isn't UTF-8|has NUL characters, as UTF-16)"):
        read(path)


def test_what_is_called_utf_16_and_is_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(b"a,b\n1,2\n3\n")
    with pytest.raises(RecordsRefused, match="isn't UTF-16"):
        read(path, Form(encoding="utf-16"))


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ("\n\n", "is empty"), ("a,b,a\n", "columns 1 and 3 have the same name"), ('"a,b\n', "quotes")],
)
def test_a_header_that_cannot_be_used_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(RecordsRefused, match=words):
        read(path)


def test_a_line_and_a_row_without_end_are_told_and_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "LONGEST_LINE", 64)
    monkeypatch.setattr(delimited, "MOST_LINES", 4)
    path = tmp_path / "f.csv"
    path.write_text("a,b\n" + "x" * 1000 + ",1\n1,2\n" + '"' + "y\n" * 6 + "z\n3,4\n")
    found = read(path)
    assert [reason for reason, _ in told(found)][:2] == [Reason.TOO_LARGE, Reason.TOO_LARGE]
    assert cells(found)[0] == ["1", "2"]
    assert cells(found)[-1] == ["3", "4"]


def test_a_value_without_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("a,b\n" + ("x" * 200_000) + ",1\n1,2\n")
    found = read(path)
    assert told(found) == [(Reason.TOO_LARGE, "line 2")]
    assert cells(found) == [["1", "2"]]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert separator_of(tmp_path / "f.csv") == ","
    with pytest.raises(RecordsRefused, match="can't be read"):
        read(tmp_path / "f.csv")
