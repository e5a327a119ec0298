"""When a run's rounds no longer pay: what a plan may say, and what a data controller reads of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.hub.runs.run_lab import project

from wardround.contracts.plateau import Plateau
from wardround.contracts.project_words import in_words
from wardround.contracts.run_plan import RunPlan

Scores = st.lists(st.floats(0, 1), max_size=30)


@pytest.mark.parametrize(
    ("metric", "scores", "reached"),
    [
        ("dice", [0.1, 0.2, 0.3, 0.4, 0.5], False),
        ("dice", [0.5, 0.505, 0.506, 0.507], True),
        ("dice", [0.5, 0.505, 0.51, 0.52], False),  # little in each round, and enough in all
        ("dice", [0.5, 0.4, 0.3], False),  # too few to tell
        ("dice", [0.1, 0.9, 0.2, 0.3, 0.4], True),  # better than its neighbours, and not than the best
        ("mae", [5.0, 4.0, 3.0, 2.0], False),
        ("mae", [2.0, 2.5, 1.995, 3.0], True),
        ("dice", [], False),
    ],
)
def test_a_plateau_is_a_window_without_gain(metric, scores: list[float], reached: bool) -> None:  # type: ignore[no-untyped-def]
    assert Plateau(rounds=3, least=0.01).reached(metric, scores) is reached


@given(Scores, st.integers(1, 10))
def test_whatever_ends_without_a_least_gain_got_no_better(scores: list[float], rounds: int) -> None:
    better = len(scores) <= rounds or max(scores[-rounds:]) > max(scores[:-rounds])
    assert Plateau(rounds=rounds).reached("dice", scores) is not better


@given(Scores, st.integers(1, 10), st.floats(0, 0.5), st.floats(0, 0.5))
def test_who_asks_for_more_gain_stops_no_later(scores: list[float], rounds: int, little: float, more: float) -> None:
    little, more = sorted((little, more))
    if Plateau(rounds=rounds, least=little).reached("dice", scores):
        assert Plateau(rounds=rounds, least=more).reached("dice", scores)


def test_a_data_controller_reads_when_a_run_ends_early() -> None:
    asked = project(plateau={"rounds": 4, "least": 0.005})
    told = "a run ends early once the mean Dice got not better by 0.005 over 4 rounds"
    assert any(told in line for line in in_words(asked))


def test_a_plan_without_one_keeps_its_digest() -> None:
    assert b"plateau" not in project().plan.canonical()


@pytest.mark.parametrize(
    ("others", "why"),
    [
        (
            {"patient_privacy": {"epsilon": 4, "noise_multiplier": 1, "sample_rate": 0.5}, "compare_alone": False},
            "no site tells how good a round is",
        ),
        ({"algorithm": "merge"}, "take `robust`, `masking`, `target` and `plateau` out"),
        ({"plateau": {"rounds": 0}}, "greater than or equal to 1"),
    ],
)
def test_where_no_round_is_judged_none_ends_a_run(others: dict[str, object], why: str) -> None:
    plan = project().plan.model_dump(mode="json") | {"plateau": {"rounds": 2}} | others
    with pytest.raises(ValueError, match=why):
        RunPlan.model_validate(plan)
