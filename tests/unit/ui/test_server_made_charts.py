"""Charts made at the server: what they hold is escaped, and every value can be read off."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wardround.ui.chart import Bar, bars, legend, lines
from wardround.ui.rendering import coded, size

NASTY = '<script>alert("1")</script>'


def test_what_a_chart_names_is_escaped() -> None:
    drawn = bars(NASTY, [NASTY], [Bar(NASTY, (1.0,))]) + lines(NASTY, {NASTY: [(1.0, 0.5)]}) + legend([NASTY])
    assert "<script" not in drawn and drawn.count("&lt;script") >= 5


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(-1e6, 1e6)), min_size=1, max_size=30))
def test_every_point_lies_within_its_picture(points: list[tuple[int, float]]) -> None:
    """And its value is told, however the line runs."""
    drawn = lines("anything", {"north": [(float(x), y) for x, y in points]})
    assert drawn.count("<circle") == len(points)
    heights = [float(part.split('"')[0]) for part in drawn.split('cy="')[1:]]
    assert all(0 <= height <= 220 for height in heights)


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=24))
def test_no_bar_is_taller_than_its_picture(values: list[float]) -> None:
    drawn = bars("anything", ["MB"], [Bar("a", (value,)) for value in values])
    assert all(float(part.split('"')[0]) >= 0 for part in drawn.split(' y="')[1:])


def test_commands_in_messages_are_set_as_code() -> None:
    assert coded("say `wardround <x>`") == "say <code>wardround &lt;x&gt;</code>"
    assert [size(count) for count in (0, 999, 1000, 85_500_000)] == ["0 bytes", "999 bytes", "1.0 kB", "85.5 MB"]
