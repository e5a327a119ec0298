"""How sure a number is, held against published figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.learning.intervals import over_patients, proportion


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17, 1998, Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_as_published(part: int, whole: int, low: float, high: float) -> None:
    found = proportion(part, whole)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(1, 500), st.data())
def test_a_share_lies_in_its_interval_and_more_of_the_same_narrows_it(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    found, more = proportion(part, whole), proportion(part * 4, whole * 4)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert more.high - more.low < found.high - found.low


def test_the_interval_of_a_mean_over_patients_covers_as_often_as_it_says() -> None:
    draws = np.random.default_rng(5)
    covered = 0
    for _ in range(40):
        found = over_patients(
            "dice", {f"P{place}": (float(value),) for place, value in enumerate(draws.beta(6, 2, 60))}
        )
        assert found is not None
        covered += found.low <= 0.75 <= found.high
    assert covered >= 34


def test_the_same_patients_give_the_same_interval_in_whatever_order() -> None:
    outcomes = {f"P{place}": (place / 10,) for place in range(9)}
    assert over_patients("dice", outcomes) == over_patients("dice", dict(reversed(outcomes.items())))


def test_patients_who_cannot_tell_have_no_interval() -> None:
    assert over_patients("auc", {"P1": (0.3, 1.0), "P2": (0.4, 1.0)}) is None
    assert over_patients("dice", {}) is None
