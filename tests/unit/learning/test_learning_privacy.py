"""An update that leaves is no longer than its bound, and its noise can't be averaged or subtracted away."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn

from wardround.learning.arrays import Arrays, norm
from wardround.learning.privacy import clipped, noised

SEED = bytes(range(32))
FLOATS = st.floats(-1e4, 1e4, width=32)
VALUES = drawn(np.float32, 12, elements=FLOATS)


def delta(values: object) -> Arrays:
    flat = np.asarray(values, dtype=np.float32)
    return {"bias": flat[:4], "weight": flat[4:].reshape(2, -1)}


def flat(update: Arrays) -> np.ndarray:  # type: ignore[type-arg]
    return np.concatenate([update[name].astype(np.float64).ravel() for name in sorted(update)])


@given(VALUES, st.floats(1e-6, 1e4))
def test_no_update_is_longer_than_its_bound(values: object, bound: float) -> None:
    """To the last bit: what is measured here is what left, in float32."""
    asked = delta(values)
    left = clipped(asked, bound)
    assert norm(left) <= bound
    assert all(left[name].dtype == np.float32 and left[name].shape == asked[name].shape for name in asked)


@given(VALUES)
def test_an_update_within_its_bound_leaves_as_it_is_and_a_longer_one_keeps_its_direction(values: object) -> None:
    asked = delta(values)
    length = norm(asked)
    assert np.array_equal(flat(clipped(asked, max(1.0, length * 2))), flat(asked))
    if length > 1:
        cut = flat(clipped(asked, 0.5))
        assert cut @ flat(asked) / (np.linalg.norm(cut) * length) > 1 - 1e-6
        assert np.linalg.norm(cut) > 0.499


def test_the_noise_has_the_spread_that_was_asked_for() -> None:
    """Against a normal distribution, by its moments and its tail, at three scales of the weights."""
    for size in (1e-3, 1.0, 1e3):
        nothing = {"w": np.zeros(400_001, dtype=np.float32)}
        noise = flat(noised(nothing, 3.0 * size, SEED)) / (3.0 * size)
        assert abs(noise.mean()) < 0.008
        assert abs(noise.std() - 1) < 0.006
        assert abs((noise**3).mean()) < 0.03
        assert abs((noise**4).mean() - 3) < 0.06
        assert 0.0022 < (np.abs(noise) > 3).mean() < 0.0032
        assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.008


def test_the_last_bits_tell_nothing() -> None:
    """What leaves lies on one grid, whatever the update was."""
    for value in (0.0, 1e-5, 3.3e-3):
        left = flat(noised({"w": np.full(5_000, value, dtype=np.float32)}, 1.0, SEED))
        assert np.array_equal(left, np.round(left * 2**24) / 2**24)
