"""Patterns match what they say, in work that grows with the text and never beyond."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.node.receive.route_pattern import LONGEST_PATTERN, LONGEST_TEXT, Pattern, PatternRefused, glob

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\d", "\\w", "\\s", "1", " ", "\\*", "[a-c1]"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(lambda one, times: f"({one}){times}", inner, st.sampled_from(["*", "+", "?", ""])),
        st.builds(lambda one, other: f"{one}{other}", inner, inner),
        st.builds(lambda one, other: f"({one}|{other})", inner, inner),
    ),
    max_leaves=8,
)


@given(PATTERNS.filter(lambda text: len(text) <= 60), st.text("abAB1 *c", max_size=8))
def test_it_matches_what_the_standard_library_does(pattern: str, text: str) -> None:
    expected = re.fullmatch(pattern, text, re.IGNORECASE | re.ASCII | re.DOTALL) is not None
    assert Pattern(pattern).matches(text) is expected


@given(st.text("ab?*.[(\\ ", max_size=8), st.text("ab.[(\\ ?*", max_size=8))
def test_in_what_it_is_like_only_stars_and_question_marks_count(pattern: str, text: str) -> None:
    expected = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in pattern)
    assert glob(pattern).matches(text) is (re.fullmatch(expected, text, re.IGNORECASE) is not None)


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    try:
        pattern = Pattern(text)
    except PatternRefused:
        return
    assert pattern.matches("aaa") in (True, False)


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|a)*b", "(a+)+b", "((a*)*)*b", "(a|aa)+b", ".*.*.*.*.*.*b", "a?" * 40 + "a" * 40 + "b"]
)
def test_a_pattern_that_explodes_elsewhere_takes_a_step_for_each_state_and_character(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Pattern(pattern)
    steps = 0
    closed = Pattern._closed

    def counted(self: Pattern, states: list[int]) -> set[int]:
        nonlocal steps
        reached = closed(self, states)
        steps += len(reached)
        return reached

    monkeypatch.setattr(Pattern, "_closed", counted)
    assert not made.matches("a" * LONGEST_TEXT)
    assert steps <= (LONGEST_TEXT + 1) * 3 * LONGEST_PATTERN


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("HEAD", "head", True),
        ("[A-Z]+", "head", True),
        ("[一-龠]+", "頭部", True),
        ("[^0-9]", "7", False),
        ("\\S", "x", None),
        ("[Z-a]", "z", None),
        ("[b-a]", "a", None),
        ("a{2}", "aa", None),
        ("^a$", "a", None),
        ("*a", "a", None),
        ("(a", "a", None),
        ("a)", "a", None),
        ("[a", "a", None),
        ("a\\", "a", None),
        ("(" * 41 + ")" * 41, "", None),
        ("a" * 257, "", None),
        ("a*?", "aaa", True),
        ("", "", True),
        ("()+", "", True),
        ("İ", "İ", True),
        ("[]]", "]", True),
    ],
)
def test_corners_of_the_language(pattern: str, text: str, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(PatternRefused):
            Pattern(pattern)
    else:
        assert Pattern(pattern).matches(text) is matches
