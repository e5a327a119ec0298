"""A search's keys match as PS3.4 C.2.2.2 has it, and nothing in a key is more than a letter, `*` or `?`."""

from __future__ import annotations

import fnmatch
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.node.dicomweb.failure import WebFailure
from wardround.node.dicomweb.matching import LARGEST_LIMIT, matches, read_search, tag_of

ID, DATE, TIME, NAME, NUMBER, UID = "00100020", "00080020", "00080030", "00100010", "00200013", "0020000D"


def holds(vr: str, *values: object) -> dict[str, object]:
    return {"vr": vr, "Value": list(values)}


@given(st.text(alphabet="ab*?.+\\()", min_size=1, max_size=8), st.text(alphabet="ab.+\\()\n", max_size=8))
def test_wild_cards_alone_are_special(pattern: str, value: str) -> None:
    assert matches(holds("LO", value), pattern, ID) == fnmatch.fnmatchcase(value, pattern)


@given(st.dates(), st.dates(), st.dates())
def test_a_range_of_dates_takes_both_its_ends(first: date, last: date, held: date) -> None:
    text, low, high = (f"{day:%Y%m%d}".rjust(8, "0") for day in (held, first, last))
    assert matches(holds("DA", text), f"{low}-{high}", DATE) == (first <= held <= last)
    assert matches(holds("DA", text), f"{low}-", DATE) == (first <= held)
    assert matches(holds("DA", text), f"-{high}", DATE) == (held <= last)


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12))))
def test_any_query_is_a_search_or_refused_without_repeating_it(parameters: list[tuple[str, str]]) -> None:
    try:
        search = read_search(parameters)
    except WebFailure as failure:
        assert failure.status == 400
    else:
        assert 0 <= search.limit <= LARGEST_LIMIT and search.offset >= 0


def test_times_numbers_names_and_uids_match_by_what_they_are() -> None:
    assert matches(holds("TM", "101530"), "1015-1016", TIME)
    assert not matches(holds("TM", "101730"), "1015-1016", TIME)
    assert matches(holds("IS", 7), "07", NUMBER) and not matches(holds("IS", 7), "70", NUMBER)
    assert matches(holds("PN", {"Alphabetic": "Wr-A^B"}), "wr-a*", NAME)
    assert matches(holds("UI", "1.2", "1.3"), "1.9,1.3", UID) and not matches(holds("UI", "1.23"), "1.2*", UID)
    assert not matches(None, "x", ID) and not matches(holds("LO"), "x", ID)


def test_a_search_is_read_by_keyword_and_tag() -> None:
    search = read_search(
        [
            ("PatientID", " A* "),
            ("0020000d", "1.2"),
            ("StudyDate", ""),
            ("PatientName", "*"),
            ("includefield", "all"),
            ("includefield", "PatientAge,00120062"),
            ("limit", "9999999"),
            ("offset", "3"),
            ("fuzzymatching", "TRUE"),
        ]
    )
    assert dict(search.keys) == {ID: "A*", UID: "1.2"}
    assert search.fields == {"00101010", "00120062"} and search.everything and search.fuzzy
    assert (search.limit, search.offset) == (LARGEST_LIMIT, 3)


@pytest.mark.parametrize("name", ["NoSuch", "PatientID.PatientID", "0010", "", "(0010,0020)", "GGGG0020"])
def test_what_names_no_attribute_is_refused(name: str) -> None:
    with pytest.raises(WebFailure):
        tag_of(name)
