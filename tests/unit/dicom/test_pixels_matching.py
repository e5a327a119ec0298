"""Misread identifiers are still known; other words aren't taken for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dicom.pixels_lab import WHO

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_matching import Found, Identifiers, fold, is_text, within
from wardround.dicom.pixels_text import Word

PLACE = Box(0, 0, 10, 10)


def read(*texts: str, sure: float = 90) -> Found:
    return Identifiers(WHO).sift([Word(text, sure, PLACE, 1) for text in texts])


@pytest.mark.parametrize(
    "texts",
    [
        ("HARRINGTON",), ("Harrington,",), ("HARR1NGT0N",), ("HARRINGT",), ("HARRLNGTON^OLIVIA",), ("HARRI", "NGTON"),
        ("OLIVIA",), ("0LIVIA",), ("943", "476", "5919"), ("9434765919",), ("943476S919",), ("ID:9434765919",),
        ("RX8841207",), ("RXBB4I2O7",), ("12/03/1961",), ("03.12.1961",), ("1961-03-12",), ("12-Mar-1961",),
        ("12", "MAR", "1961"), ("1Z/O3/I961",), ("12MAR61",), ("MAY",),
    ],
)  # fmt: skip
def test_an_identifier_is_known_however_it_is_written_or_misread(texts: tuple[str, ...]) -> None:
    assert read(*texts).named


@pytest.mark.parametrize(
    "texts", [("SIEMENS",), ("WASHINGTON",), ("T2", "FLAIR"), ("01/02/2020",), ("1234567890",), ("LIVER",), ("L",)]
)
def test_other_words_are_not_taken_for_the_patients(texts: tuple[str, ...]) -> None:
    assert not read(*texts).named


def test_pieces_that_stand_far_apart_are_not_put_together() -> None:
    beside = [Word(text, 90, Box(10, 10 + 40 * place, 12, 30), 1) for place, text in enumerate(("943", "476", "5919"))]
    apart = [Word(text, 90, Box(10 + 90 * place, 10, 12, 30), 1) for place, text in enumerate(("943", "476", "5919"))]
    assert len(Identifiers(WHO).sift(beside).named) == 3
    assert not Identifiers(WHO).sift(apart).named


def test_texture_is_not_taken_for_text_but_a_full_page_is() -> None:
    grain = [Word(text, 90, PLACE, 1) for text in ("are", "ate", "Wes?") * 20]
    assert not Identifiers(WHO).sift(grain).text
    assert Identifiers(WHO).sift([*grain, Word("Impression", 90, PLACE, 1)]).text


def test_little_certainty_is_not_enough_for_a_short_name() -> None:
    assert not read("MAY", sure=60).named


@pytest.mark.parametrize("text", ["L", "RT", "10cm", "120", "kV", "3.5mm", "SUPINE", "IIII", "=-", "ee"])
def test_harmless_annotations_and_scribble_are_no_text(text: str) -> None:
    assert not is_text(Word(text, 95, PLACE, 1))


@pytest.mark.parametrize("text", ["Smith", "DOB", "ID:", "1961", "A1234567", "Hospital"])
def test_words_that_may_tell_something_are_text(text: str) -> None:
    assert is_text(Word(text, 95, PLACE, 1))


def test_a_name_outweighs_the_list_of_harmless_words() -> None:
    identity = Identifiers(type(WHO)(**{**{f: getattr(WHO, f) for f in WHO.__slots__}, "name": "HEAD^FRANK"}))
    assert identity.sift([Word("HEAD", 90, PLACE, 1)]).text


WORDS = st.text("ABCDEFGHKMNPRUVWXY34679", min_size=4, max_size=14)


@given(WORDS, WORDS, WORDS)
def test_a_part_of_a_text_needs_no_edit(before: str, token: str, after: str) -> None:
    assert within(token, before + token + after) == 0


@given(WORDS, st.data())
def test_one_wrong_letter_costs_one_edit(token: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(token) - 1))
    assert within(token, token[:place] + "?" + token[place + 1 :]) <= 1


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_a_word_does_not_show_its_text() -> None:
    assert "SECRET" not in repr(Word("SECRET", 90, PLACE, 1))
