"""SCAFFOLD: control variates beside the weights, held against the paper and against what they are for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import ArraysRefused
from wardround.learning.strategies.control import CONTROL, Scaffold, parted, renewed

START = {"w": np.array([1.0, -2.0, 0.5], np.float32)}
RATE = 0.05
sites = st.lists(
    st.tuples(
        st.lists(st.floats(0.5, 4), min_size=3, max_size=3),
        st.lists(st.floats(-5, 5), min_size=3, max_size=3),
        st.integers(1, 20),
    ),
    min_size=1,
    max_size=4,
)
"""Of each site's loss, half of `curve` times the squared distance from `middle`, and its weight."""


def over_the_protocol(found, rounds, steps, *, backwards=False):
    """As a run does it: what sites are given, their updates averaged as they arrive, the hub's step."""
    strategy = Scaffold()
    model, state = START, strategy.begin(START)
    own = [{"w": np.zeros(3, np.float32)} for _ in found]
    for _ in range(rounds):
        told = strategy.told(model, state)
        mean = WeightedMean(told)
        for place in reversed(range(len(found))) if backwards else range(len(found)):
            curve, middle, weight = found[place]
            weights, control = parted(told)
            now = weights["w"].astype(np.float64)
            for _ in range(steps):
                now = now - RATE * (np.array(curve) * (now - middle) - own[place]["w"] + control["w"])
            trained = {"w": now.astype(np.float32)}
            own[place], update = renewed(own[place], told, trained, rates=steps * RATE)
            mean.add(update, weight)
        step = strategy.step(model, state, mean.result())
        model, state = step.model, step.state
    return model["w"], state["w"], own


def by_the_paper(found, rounds, steps):
    """Algorithm 1, option II, with a global rate of 1 and sites weighted as the average weighs them."""
    x, c, own = START["w"].astype(np.float64), np.zeros(3), [np.zeros(3) for _ in found]
    total = sum(weight for _, _, weight in found)
    for _ in range(rounds):
        moved, changed = np.zeros(3), np.zeros(3)
        for place, (curve, middle, weight) in enumerate(found):
            y = x.copy()
            for _ in range(steps):
                y -= RATE * (np.array(curve) * (y - middle) - own[place] + c)
            following = own[place] - c + (x - y) / (steps * RATE)
            moved += weight / total * (y - x)
            changed += weight / total * (following - own[place])
            own[place] = following
        x, c = x + moved, c + changed
    return x, c


@settings(max_examples=40)
@given(sites, st.integers(1, 4), st.integers(1, 5))
def test_rounds_are_those_of_the_paper(found, rounds, steps):
    model, control, _ = over_the_protocol(found, rounds, steps)
    wanted_model, wanted_control = by_the_paper(found, rounds, steps)
    assert np.allclose(model, wanted_model, rtol=1e-3, atol=1e-3)
    assert np.allclose(control, wanted_control, rtol=1e-3, atol=2e-3)


@settings(max_examples=40)
@given(sites)
def test_the_order_of_arrival_does_not_matter(found):
    one, other = over_the_protocol(found, 3, 3), over_the_protocol(found, 3, 3, backwards=True)
    assert np.allclose(one[0], other[0], atol=1e-4) and np.allclose(one[1], other[1], atol=1e-3)


@settings(max_examples=40)
@given(sites)
def test_the_hubs_variates_are_the_mean_of_the_sites(found):
    _, control, own = over_the_protocol(found, 3, 2)
    mean = np.average([one["w"] for one in own], axis=0, weights=[weight for _, _, weight in found])
    assert np.allclose(control, mean, atol=1e-2)


def test_it_comes_to_the_best_model_of_all_where_averaging_alone_does_not():
    found = [([4.0, 1.0, 1.0], [5.0, 0.0, -5.0], 3), ([0.5, 1.0, 2.0], [-5.0, 4.0, 5.0], 1)]
    weights = np.array([weight for _, _, weight in found], float)[:, None]
    curves, middles = (np.array([one[part] for one in found]) for part in (0, 1))
    best = (weights * curves * middles).sum(0) / (weights * curves).sum(0)
    scaffold, _, _ = over_the_protocol(found, 60, 20)
    averaged = START["w"].astype(np.float64)
    for _ in range(60):
        ends = middles + (averaged - middles) * (1 - RATE * curves) ** 20
        averaged = (weights * ends).sum(0) / weights.sum()
    assert np.abs(scaffold - best).max() < 1e-3
    assert np.abs(averaged - best).max() > 0.5


def test_an_average_without_variates_is_refused():
    strategy = Scaffold()
    state = strategy.begin(START)
    with pytest.raises(ArraysRefused) as refusal:
        strategy.step(START, state, START)
    assert refusal.value.reason == "wrong-names"
    assert sorted(strategy.told(START, state)) == [f"{CONTROL}w", "w"]
