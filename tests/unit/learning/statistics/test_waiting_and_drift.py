"""Orders of reading compared over the same readers, and distributions that moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.learning.statistics.drift import drift
from wardround.learning.statistics.waiting import in_order_of_arrival


def test_a_study_that_overtook_two_had_come_third() -> None:
    assert in_order_of_arrival([0, 10, 20], [60, 70, 50]) == [50, 60, 70]
    with pytest.raises(ValueError):
        in_order_of_arrival([10], [5])


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=30))
def test_together_they_wait_as_long_and_nobody_is_opened_before_they_came(pairs: list[tuple[int, int]]) -> None:
    came, opened = [float(at) for at, _ in pairs], [float(at + wait) for at, wait in pairs]
    instead = in_order_of_arrival(came, opened)
    assert sorted(instead) == sorted(opened)
    assert all(at <= late for at, late in zip(came, instead, strict=True))
    in_order = [late for _, late in sorted(zip(came, instead, strict=True))]
    assert in_order == sorted(in_order)


def test_scores_that_moved_are_told_from_scores_that_did_not() -> None:
    draws = np.random.default_rng(2)
    before = draws.normal(size=200)
    same, moved = drift(before, draws.normal(size=150)), drift(before, draws.normal(1, size=150))
    assert same is not None and moved is not None
    assert same.p > 0.05 and same.stability < 0.2
    assert moved.p < 1e-6 and moved.stability > 0.25
    # scipy 1.17.1: ks_2samp(arange(40) / 40, arange(30) ** 2 / 900), its distance.
    known = drift(list(np.arange(40) / 40), list(np.arange(30) ** 2 / 900))
    assert known is not None
    assert known.distance == pytest.approx(0.275)
    assert drift([1.0] * 9, [1.0] * 20) is None
