"""The hours of pulling are those of the hospital's own clock, over midnight and through its changes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.node.retrieve.hours import Hours

MINUTES = st.integers(0, 24 * 60 - 1).map(lambda minutes: time(minutes // 60, minutes % 60))
MOMENT = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(MINUTES, MINUTES, MOMENT)
def test_a_span_and_its_rest_share_the_day(first: time, last: time, moment: datetime) -> None:
    if first == last:
        return
    span, rest = f"{first:%H:%M}-{last:%H:%M}", f"{last:%H:%M}-{first:%H:%M}"
    assert Hours.parse(span, "UTC").open_at(moment) != Hours.parse(rest, "UTC").open_at(moment)
    assert Hours.parse(f"{span}, {rest}", "UTC").open_at(moment)


def test_the_first_minute_counts_and_the_last_does_not() -> None:
    hours = Hours.parse("20:00-06:00", "UTC")
    day = datetime(2026, 3, 2, tzinfo=UTC)
    for hour, is_open in ((20, True), (23.99, True), (0, True), (5.99, True), (6, False), (12, False), (19.99, False)):
        assert hours.open_at(day + timedelta(hours=hour)) is is_open, hour
    assert Hours.parse("22:00-24:00", "UTC").open_at(day + timedelta(hours=23.99))
    assert not Hours.parse("22:00-24:00", "UTC").open_at(day)
    assert Hours.parse("", "").open_at(day)


def test_summer_time_moves_the_hours_with_the_hospital() -> None:
    hours = Hours.parse("20:00-21:00", "Europe/London")
    assert hours.open_at(datetime(2026, 1, 15, 20, 30, tzinfo=UTC))
    assert hours.open_at(datetime(2026, 7, 15, 19, 30, tzinfo=UTC))
    assert not hours.open_at(datetime(2026, 7, 15, 20, 30, tzinfo=UTC))


@pytest.mark.parametrize("text", ["20-06", "25:00-06:00", "20:00", "20:00-24:01", "06:00-06:00", "20:60-21:00"])
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"span|begins"):
        Hours.parse(text)


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../../etc/passwd", "/etc/passwd"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        Hours.parse("20:00-21:00", zone)
