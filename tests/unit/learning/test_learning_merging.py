"""What normalisation layers know of a merged model's patients is what they would know of all of them together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from wardround.learning.arrays import Arrays
from wardround.learning.merging import merged

Samples = NDArray[np.float32]
samples = st.lists(arrays(np.float32, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(-50, 50, width=32)))


def model_of(found: Samples) -> Arrays:
    """A network of one layer that has seen these samples (N, 3)."""
    return {
        "norm.weight": np.ones(3, np.float32),
        "norm.running_mean": found.mean(0, dtype=np.float64).astype(np.float32),
        "norm.running_var": found.var(0, dtype=np.float64).astype(np.float32),
        "lone.running_var": np.full(2, len(found), np.float32),
    }


@given(samples.filter(len))
def test_a_merges_statistics_are_those_of_all_samples_together(sites: list[Samples]) -> None:
    made = merged((model_of(found), float(len(found))) for found in sites)
    together = np.concatenate(sites).astype(np.float64)
    np.testing.assert_allclose(made["norm.running_mean"], together.mean(0), atol=1e-3)
    np.testing.assert_allclose(made["norm.running_var"], together.var(0), rtol=1e-3, atol=2e-2)
    assert (made["norm.running_var"] >= 0).all()


def test_hospitals_that_differ_make_the_variance_larger_than_any_of_theirs() -> None:
    dark, bright = np.zeros((10, 3), np.float32), np.full((10, 3), 4, np.float32)
    made = merged([(model_of(dark), 10.0), (model_of(bright), 10.0)])
    np.testing.assert_allclose(made["norm.running_var"], 4.0)
    # What no mean stands beside is a weight like others.
    np.testing.assert_allclose(made["lone.running_var"], 10.0)
