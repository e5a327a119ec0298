"""Numbers of persons and records: the same for the same, for nobody to guess; and folders of loads that live."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.node.cohort.noise import WORD_BITS, PersonWords
from wardround.node.records.keys import RecordKeys
from wardround.node.records.schema import TABLES
from wardround.node.records.staging import staging_in, tidy

SECRET = bytes(range(32))
TEXT = st.text(max_size=12)


@given(source=TEXT, table=TEXT, key=TEXT, other=st.tuples(TEXT, TEXT, TEXT))
def test_a_record_has_one_number_and_no_other_record_has_it(
    source: str, table: str, key: str, other: tuple[str, str, str]
) -> None:
    keys = RecordKeys(SECRET)
    number = keys.record(source, table, key)
    assert number == RecordKeys(SECRET).record(source, table, key)
    assert 0 <= number < 1 << 63
    if other != (source, table, key) and "\0" not in source + table + key + "".join(other):
        assert keys.record(*other) != number
    assert RecordKeys(SECRET[::-1]).record(source, table, key) != number


def test_a_persons_number_and_word_are_kept_apart_and_the_word_is_that_of_counts() -> None:
    keys = RecordKeys(SECRET)
    assert keys.person("WR-A") != keys.word("WR-A")
    assert keys.word("WR-A") == PersonWords(SECRET).word("WR-A") < 1 << WORD_BITS


def test_a_short_secret_is_no_secret() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        RecordKeys(b"short")


def test_the_folder_of_a_load_that_lives_is_left_alone(tmp_path: Path) -> None:
    columns = TABLES["person_word"].columns
    with staging_in(tmp_path) as living:
        living.declare("person_word", columns)
        living.add("person_word", {"person_id": 1, "word": 2})
        living.finish()
        (tmp_path / "left by a killed load").mkdir()
        assert tidy(tmp_path) == 1
        with staging_in(tmp_path):
            pass
        assert [file.name for file in living.files("person_word")] == ["person_word.parquet"]
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]
