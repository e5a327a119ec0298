"""How soon a chart says that something changed, and how often for nothing, held against published figures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from wardround.learning.cusum import Scores, Share, Shift, sums, threshold


@pytest.mark.parametrize(("limit", "published"), [(4, 336), (5, 930)])
def test_run_lengths_of_a_shift_are_as_published(limit: float, published: float) -> None:
    # One-sided, reference value 0.5 (Lucas and Crosier, Technometrics 24, 1982).
    assert Shift(1.0).run_length(limit) == pytest.approx(published, rel=0.02)
    assert Shift(-1.0).run_length(limit) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("change", [Share(0.05, 0.2), Share(0.4, 0.6), Share(0.4, 0.25), Shift(0.7)])
def test_false_alarms_come_as_seldom_as_was_asked(change: Share | Shift) -> None:
    limit = threshold(change, 300.0)
    draws = np.random.default_rng(11)
    lengths = []
    for _ in range(400):
        total, steps = 0.0, 0
        while total <= limit:
            value = draws.random() < change.usual if isinstance(change, Share) else draws.normal()
            total, steps = max(0.0, total + change.weight(float(value))), steps + 1
        lengths.append(steps)
    # Lengths are spread about as widely as their mean: 400 of them tell it to within a fifth, nearly always.
    assert np.mean(lengths) == pytest.approx(change.run_length(limit), rel=0.2)
    assert change.run_length(limit) >= 300


def test_a_change_is_noticed_long_before_an_alarm_for_nothing_is_due() -> None:
    change = Share(0.05, 0.2)
    limit = threshold(change, 5000.0)
    draws = np.random.default_rng(3)
    soon = [next(n for n, s in enumerate(sums(change, draws.random(2000) < 0.2), 1) if s > limit) for _ in range(50)]
    assert np.mean(soon) < 60


def scores(values: Iterable[float]) -> list[float]:
    held = Scores()
    return [held.of(value) for value in values]


def test_values_are_held_against_those_before_them_as_students_t_has_it() -> None:
    draws = np.random.default_rng(8).normal(7, 3, (300, 40))
    found = np.array([scores(row) for row in draws])[:, 2:]
    assert np.abs(found.mean(axis=0)).max() < 0.25
    assert np.abs(found.std(axis=0) - 1).max() < 0.2
    # Of three degrees of freedom, 3.18245 is the 97.5th percentile of Student's t (any table).
    before = [0.0, 0.0, 2.0, 2.0]
    value = 1 + 3.18245 * np.std(before, ddof=1) * np.sqrt(5 / 4)
    assert scores([*before, value])[-1] == pytest.approx(1.959964, abs=1e-4)


@pytest.mark.parametrize("seen", [9, 60, 201, 202, 203, 5000])
def test_of_few_values_and_of_many_a_score_is_as_likely_as_its_t(seen: int) -> None:
    before = np.random.default_rng(seen).normal(7, 3, seen)
    for t in (-3.5, -0.2, 0.0, 1.7, 4.0):
        value = before.mean() + t * before.std(ddof=1) * np.sqrt((seen + 1) / seen)
        expected = float(np.sign(t)) * stats.norm.isf(stats.t.sf(abs(t), seen - 1))
        assert scores([*before, value])[-1] == pytest.approx(expected, abs=1e-9)


def test_the_sum_starts_anew_from_nothing() -> None:
    assert sums(Share(0.05, 0.2), [0, 0, 1, 0])[:2] == [0.0, 0.0]
    assert sums(Share(0.2, 0.05), [1, 1]) == [0.0, 0.0]
    assert sums(Shift(1.0), [2.0, -5.0, 1.0]) == [1.5, 0.0, 0.5]


def test_what_cant_be_had_is_an_error() -> None:
    with pytest.raises(ValueError, match="no threshold"):
        threshold(Share(0.05, 0.2), 1e40)
