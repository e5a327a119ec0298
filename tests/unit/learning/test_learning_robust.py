"""Averages that hostile updates can't move far: what they compute, in any order, and how far is far."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wardround.contracts.robust import Median, MultiKrum, NormBound, TrimmedMean
from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import ArraysRefused, digest
from wardround.learning.robust import average_of

MODEL = {"w": np.linspace(-1, 1, 4, dtype=np.float32), "b": np.zeros((1, 2), np.float32)}
values = st.floats(-100, 100, width=32)
update = st.fixed_dictionaries(
    {name: hnp.arrays(np.float32, one.shape, elements=values) for name, one in MODEL.items()}
)
updates = st.lists(st.tuples(update, st.integers(1, 1000)), min_size=5, max_size=9)
RULES = [NormBound(largest=1.5), TrimmedMean(), TrimmedMean(trimmed=2), Median(), MultiKrum()]
HOSTILE = {name: np.full(one.shape, 1e30, np.float32) for name, one in MODEL.items()}


def averaged(rule, found):
    average = average_of(rule, MODEL)
    for arrays, weight in found:
        average.add(arrays, weight)
    return average.result()


def flat(arrays):
    return np.concatenate([arrays[name].astype(np.float64).ravel() for name in sorted(arrays)])


@settings(max_examples=30)
@given(updates, st.sampled_from([1, 2]))
def test_trimmed_is_the_mean_of_the_middle_of_every_value(found, trimmed):
    ordered = np.sort([flat(arrays) for arrays, _ in found], axis=0)[trimmed:-trimmed]
    assert np.allclose(flat(averaged(TrimmedMean(trimmed=trimmed), found)), ordered.mean(0), rtol=1e-6, atol=1e-5)


@settings(max_examples=30)
@given(updates)
def test_median_is_the_median_of_every_value(found):
    wanted = np.median([flat(arrays) for arrays, _ in found], axis=0)
    assert np.allclose(flat(averaged(Median(), found)), wanted, rtol=1e-6, atol=1e-5)


@settings(max_examples=30)
@given(updates, st.floats(0.01, 500))
def test_bounded_is_the_weighted_mean_of_changes_cut_to_the_norm(found, largest):
    base = flat(MODEL)
    changes = [flat(arrays) - base for arrays, _ in found]
    cut = [change * min(1.0, largest / max(np.linalg.norm(change), 1e-30)) for change in changes]
    wanted = base + np.average(cut, axis=0, weights=[weight for _, weight in found])
    assert np.allclose(flat(averaged(NormBound(largest=largest), found)), wanted, rtol=1e-5, atol=1e-4)


@settings(max_examples=30)
@given(updates)
def test_krum_leaves_out_the_one_that_lies_farthest_from_its_nearest(found):
    points = np.array([flat(arrays) for arrays, _ in found])
    apart = ((points[:, None] - points[None]) ** 2).sum(-1)
    scores = np.sort(apart, axis=1)[:, 1 : len(found) - 2].sum(1)
    reached = flat(averaged(MultiKrum(), found))
    # Scores that are equal but for rounding may leave out either.
    left_out = [place for place in range(len(found)) if scores[place] >= scores.max() * (1 - 1e-5)]
    means = [np.delete(points, place, axis=0).mean(0) for place in left_out]
    assert any(np.allclose(reached, mean, rtol=1e-4, atol=1e-3) for mean in means)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=30)
@given(found=updates, random=st.randoms())
def test_the_order_of_arrival_does_not_matter(rule, found, random):
    shuffled = random.sample(found, len(found))
    assert np.allclose(flat(averaged(rule, found)), flat(averaged(rule, shuffled)), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@settings(max_examples=30)
@given(found=updates, place=st.integers(0, 4), sign=st.sampled_from([1, -1]))
def test_one_hostile_site_cannot_take_the_model_away(rule, found, place, sign):
    hostile = {name: sign * one for name, one in HOSTILE.items()}
    spoilt = [*found[:place], (hostile, 1000), *found[place:]]
    reached = flat(averaged(rule, spoilt))
    if isinstance(rule, NormBound):
        assert np.linalg.norm(reached - flat(MODEL)) <= 1.5 * (1 + 1e-5)
    else:
        honest = np.array([flat(arrays) for arrays, _ in found])
        assert (reached >= honest.min(0) - 1e-4).all() and (reached <= honest.max(0) + 1e-4).all()
    assert np.abs(flat(averaged(None, spoilt))).max() > 1e26, "a plain mean is taken away"


@settings(max_examples=30)
@given(updates)
def test_without_a_rule_it_is_the_weighted_mean_to_the_bit(found):
    mean = WeightedMean(MODEL)
    for arrays, weight in found:
        mean.add(arrays, weight)
    assert digest(averaged(None, found)) == digest(mean.result())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_round_has_to_have_enough_of_them(rule):
    few = [(MODEL, 1)] * (rule.least_updates - 1)
    with pytest.raises(ArraysRefused) as refusal:
        averaged(rule, few)
    assert refusal.value.reason == "empty"
    assert np.allclose(flat(averaged(rule, [*few, (MODEL, 1)])), flat(MODEL))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_is_not_sound_is_refused_and_leaves_the_average_as_it_was(rule):
    average = average_of(rule, MODEL)
    for _ in range(rule.least_updates):
        average.add(MODEL, 1)
    for bad in ({"w": MODEL["w"]}, {**MODEL, "w": np.full(4, np.nan, np.float32)}):
        with pytest.raises(ArraysRefused):
            average.add(bad, 1)
    assert np.allclose(flat(average.result()), flat(MODEL))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_comes_of_finite_updates_is_finite_or_refused(rule):
    """Here most of them are hostile: no rule is a help then, but neither is a model that can't be trained on."""
    largest = {name: np.full(one.shape, np.finfo(np.float32).max, np.float32) for name, one in MODEL.items()}
    try:
        reached = averaged(rule, [*[(largest, 1)] * 4, *[(MODEL, 1)] * 2])
    except ArraysRefused as refusal:
        assert refusal.reason == "not-finite"
    else:
        assert np.isfinite(flat(reached)).all()


@pytest.mark.parametrize("rule", [NormBound(largest=1.0), TrimmedMean()], ids=lambda rule: rule.name)
def test_memory_does_not_grow_with_the_number_of_sites(rule):
    like = {"w": np.zeros(200_000, np.float32)}
    average = average_of(rule, like)
    for site in range(3):
        average.add({"w": np.full(200_000, site, np.float32)}, 1)
    tracemalloc.start()
    for site in range(20):
        average.add({"w": np.full(200_000, site, np.float32)}, 1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 200_000 * 4
