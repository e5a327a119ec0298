"""Shifted dates stay dates, and stay as far apart as they were."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.valuerep import DA, DT

from wardround.dicom.deidentify_dates import age_between, capped_age, is_time, shifted

days = st.integers(-3650, -365)
dates = st.dates(date(1900, 1, 1), date(2100, 12, 31))


def text(day: date) -> bytes:
    return day.strftime("%Y%m%d").encode()


@given(dates, dates, days)
def test_the_interval_between_two_dates_is_kept(first: date, second: date, by: int) -> None:
    moved = [shifted(text(day), b"DA", by) for day in (first, second)]
    assert None not in moved
    there = [date(*DA(value.decode()).timetuple()[:3]) for value in moved if value]
    assert there[1] - there[0] == second - first
    assert there[0] - first == timedelta(days=by)


@given(dates, days, st.sampled_from(["", "10", "1030", "103059", "103059.5"]), st.sampled_from(["", "+0100", "-0500"]))
def test_a_date_time_keeps_its_clock_and_offset(day: date, by: int, clock: str, offset: str) -> None:
    moved = shifted(text(day) + (clock + offset).encode(), b"DT", by)
    assert moved is not None
    assert moved.decode() == text(day + timedelta(days=by)).decode() + clock + offset
    assert DT(moved.decode()) is not None


@pytest.mark.parametrize(
    ("vr", "value", "moved"),
    [
        (b"DA", b"2020.03.01", b"20200229"),
        (b"DA", b"20200301 ", b"20200229"),
        (b"DA", b"20200301\\20200401", b"20200229\\20200331"),
        (b"DA", b"20200301-20200401", b"20200229-20200331"),
        (b"DA", b"-20200401", b"-20200331"),
        (b"DA", b"20200301-", b"20200229-"),
        (b"DA", b"", b""),
        (b"DT", b"2020", b"2019"),
        (b"DT", b"202003", b"202002"),
        (b"DT", b"20200301-20200401", b"20200229-20200331"),
        (b"DT", b"20200301103000-0500", b"20200229103000-0500"),
        (b"DT", b"20200301+0100-20200401+0100", b"20200229+0100-20200331+0100"),
    ],
)
def test_all_forms_of_a_date_are_moved(vr: bytes, value: bytes, moved: bytes) -> None:
    assert shifted(value, vr, -1) == moved


@pytest.mark.parametrize(
    "value", [b"20201301", b"20200230", b"SMITH", b"20200101\\X", b"2020010", b"00010101", b"-", b"--"]
)
def test_what_is_no_date_is_given_up(value: bytes) -> None:
    assert shifted(value, b"DA", -400) is None


@given(st.binary(max_size=24), days)
def test_whatever_is_asked_nothing_but_dates_comes_back(value: bytes, by: int) -> None:
    for vr in (b"DA", b"DT"):
        moved = shifted(value, vr, by)
        assert moved is None or not set(moved) - set(b"0123456789-+.\\")


def test_times_of_day_are_told_from_text() -> None:
    assert is_time(b"103000.5 ")
    assert is_time(b"10:30:00")
    assert is_time(b"")
    for text in (b"noon", b"2530", b"19311223", b"10:99", b"1030 call home"):
        assert not is_time(text)


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        (b"045Y", b"045Y"),
        (b"089Y", b"089Y"),
        (b"090Y", b"090Y"),
        (b"104Y", b"090Y"),
        (b"006M", b"006M"),
        (b"  ", b""),
        (b"OLD!", None),
    ],
)
def test_ages_above_89_are_one_group(age: bytes, kept: bytes | None) -> None:
    assert capped_age(age) == kept


@pytest.mark.parametrize(
    ("birth", "day", "age"),
    [
        (b"19800229", b"20200228", b"039Y"),
        (b"19800229", b"20200301", b"040Y"),
        (b"19200101", b"20200101", b"090Y"),
        (b"20190115", b"20200114", b"011M"),
        (b"20200115", b"20190114", None),
        (b"", b"20190114", None),
    ],
)
def test_an_age_is_derived_in_whole_years_or_months(birth: bytes, day: bytes, age: bytes | None) -> None:
    assert age_between(birth, day) == age
