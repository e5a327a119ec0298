"""Federated averaging: what it computes, in any order, and what it refuses."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import ArraysRefused

finite = st.floats(-1e6, 1e6, width=32)
values = hnp.arrays(np.float32, (2, 3), elements=finite)
updates = st.lists(st.tuples(values, st.integers(1, 10_000)), min_size=1, max_size=6)
LIKE = {"w": np.zeros((2, 3), np.float32)}


def mean_of(pairs):
    mean = WeightedMean(LIKE)
    for array, weight in pairs:
        mean.add({"w": array}, weight)
    return mean.result()["w"]


def tolerance(pairs):
    return 1e-6 * max(1.0, *(float(np.abs(array).max()) for array, _ in pairs))


@given(updates)
def test_it_is_the_weighted_mean(pairs):
    wanted = np.average([array.astype(np.float64) for array, _ in pairs], axis=0, weights=[w for _, w in pairs])
    assert np.allclose(mean_of(pairs), wanted, rtol=0, atol=tolerance(pairs))


@given(updates, st.randoms())
def test_order_does_not_matter(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert np.allclose(mean_of(pairs), mean_of(shuffled), rtol=0, atol=tolerance(pairs))


@given(updates, st.integers(1, 100))
def test_only_the_ratio_of_weights_matters(pairs, factor):
    scaled = [(array, weight * factor) for array, weight in pairs]
    assert np.allclose(mean_of(pairs), mean_of(scaled), rtol=0, atol=tolerance(pairs))


@given(updates)
def test_it_lies_between_the_smallest_and_the_largest_update(pairs):
    stacked, mean = np.stack([array for array, _ in pairs]), mean_of(pairs)
    assert (mean >= stacked.min(0) - tolerance(pairs)).all()
    assert (mean <= stacked.max(0) + tolerance(pairs)).all()


@given(values, st.integers(1, 9), st.integers(1, 5))
def test_equal_updates_give_that_update(array, weight, times):
    assert np.allclose(mean_of([(array, weight)] * times), array, rtol=1e-6)


BAD = [
    ({"v": LIKE["w"]}, 1, "wrong-names"),
    ({}, 1, "empty"),
    ({"w": np.zeros((3, 2), np.float32)}, 1, "wrong-shape"),
    ({"w": np.zeros((2, 3), np.float64)}, 1, "wrong-type"),
    ({"w": np.full((2, 3), np.nan, np.float32)}, 1, "not-finite"),
    ({"w": np.full((2, 3), np.inf, np.float32)}, 1, "not-finite"),
    ({"w": np.full((2, 3), 100, np.float32)}, 1, "norm-too-large"),
    *(({"w": LIKE["w"]}, weight, "wrong-weight") for weight in (0, -1, float("nan"), float("inf"))),
]


@pytest.mark.parametrize(("update", "weight", "reason"), BAD)
def test_a_bad_update_is_refused_with_its_reason_and_leaves_the_mean_as_it_was(update, weight, reason):
    mean = WeightedMean(LIKE, largest_norm=50)
    mean.add({"w": np.ones((2, 3), np.float32)}, 3)
    with pytest.raises(ArraysRefused) as refusal:
        mean.add(update, weight)
    assert refusal.value.reason == reason
    assert mean.count == 1
    assert mean.weight == 3
    assert (mean.result()["w"] == 1).all()


def test_there_is_no_mean_of_nothing():
    with pytest.raises(ArraysRefused) as refusal:
        WeightedMean(LIKE).result()
    assert refusal.value.reason == "empty"


def test_memory_does_not_grow_with_the_number_of_sites():
    like = {"w": np.zeros(200_000, np.float32)}
    mean = WeightedMean(like)
    mean.add({"w": np.ones(200_000, np.float32)}, 1)
    tracemalloc.start()
    for site in range(20):
        mean.add({"w": np.full(200_000, site, np.float32)}, 1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 200_000 * 4


def test_the_hubs_part_of_learning_does_not_import_a_framework():
    modules = "arrays, aggregation, metrics, split, bundle, case, settings"
    code = (
        f"from wardround.learning import {modules}; import sys, wardround.learning.strategies.choice;"
        "print(sorted({'torch', 'monai', 'nvflare', 'nibabel', 'pydicom'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
