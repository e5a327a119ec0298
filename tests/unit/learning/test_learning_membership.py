"""A model that does better on whom it was trained on is found out; what is told of it is coarse."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wardround.contracts.metric import MetricName
from wardround.learning.membership import betrayal

SCORES = st.dictionaries(st.text("abcdef", min_size=1), st.tuples(st.floats(0, 1)), min_size=1, max_size=12)


@example(
    {name: (score,) for name, score in zip("abcdefghij", (0.8125, 1, 0.5, 0.5, 0, 0, 1, 0.5, 0.5, 1), strict=True)},
    {name: (score,) for name, score in zip("abcd", (0.25, 0.875, 0.75, 0.25), strict=True)},
)
@given(SCORES, SCORES)
def test_what_is_told_is_a_coarse_share_and_turns_round_with_the_sides(
    trained: dict[str, tuple[float]], held_out: dict[str, tuple[float]]
) -> None:
    found = betrayal("dice", trained, held_out)
    assert found is not None and found % 5 == 0 and 0 <= found <= 100
    turned = betrayal("dice", held_out, trained)
    assert turned is not None and found + turned == 100


@pytest.mark.parametrize(
    ("metric", "seen", "unseen"),
    [
        ("dice", {"a": (0.9,), "b": (0.8,)}, {"c": (0.5,)}),
        ("accuracy", {"a": (1.0,)}, {"c": (0.0,)}),
        ("mae", {"a": (0.1,)}, {"c": (2.0,)}),
        ("auc", {"a": (0.9, 1.0), "b": (-3.0, 0.0)}, {"c": (0.1, 1.0)}),
    ],
)
def test_a_model_that_remembers_is_found_out_by_every_metric_of_one_patient(
    metric: MetricName, seen: dict[str, tuple[float, ...]], unseen: dict[str, tuple[float, ...]]
) -> None:
    assert betrayal(metric, seen, unseen) == 100
    assert betrayal(metric, seen, seen) == 50
    assert betrayal(metric, seen, {}) is None


def test_order_in_time_says_nothing_of_one_patient() -> None:
    assert betrayal("c_index", {"a": (0.9, 1.0, 1.0)}, {"c": (0.1, 2.0, 1.0)}) is None
