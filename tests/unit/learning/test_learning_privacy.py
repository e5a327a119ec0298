"""An update that leaves is no longer than its bound, and its noise can't be averaged or subtracted away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn

from wardround.contracts.privacy import Privacy
from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.privacy import privatised

KEY = bytes(range(32))
FLOATS = st.floats(-1e4, 1e4, width=32)
PAIRS = st.tuples(drawn(np.float32, 12, elements=FLOATS), drawn(np.float32, 12, elements=FLOATS))


def model(values: object) -> Arrays:
    flat = np.asarray(values, dtype=np.float32)
    return {"bias": flat[:4], "weight": flat[4:].reshape(2, -1)}


def moved(after: Arrays, before: Arrays) -> np.ndarray:  # type: ignore[type-arg]
    return np.concatenate(
        [(after[n].astype(np.float64) - before[n].astype(np.float64)).ravel() for n in sorted(before)]
    )


@given(PAIRS, st.floats(1e-6, 1e4))
def test_no_update_is_longer_than_its_bound(pair: tuple[object, object], bound: float) -> None:
    """To the last bit: what is measured here is what left, in float32."""
    before, after = model(pair[0]), model(pair[1])
    left = privatised(after, before, Privacy(clip_norm=bound), KEY)
    assert np.linalg.norm(moved(left, before)) <= bound
    assert all(left[name].dtype == np.float32 and left[name].shape == before[name].shape for name in before)


@given(PAIRS)
def test_an_update_within_its_bound_leaves_as_it_is_and_a_longer_one_keeps_its_direction(
    pair: tuple[object, object],
) -> None:
    before, after = model(np.zeros(12)), model(pair[1])
    asked = moved(after, before)
    length = np.linalg.norm(asked)
    whole = privatised(after, before, Privacy(clip_norm=max(1.0, float(length) * 2)), KEY)
    assert np.array_equal(moved(whole, before), asked)
    if length > 1:
        cut = moved(privatised(after, before, Privacy(clip_norm=0.5), KEY), before)
        assert cut @ asked / (np.linalg.norm(cut) * length) > 1 - 1e-6
        assert np.linalg.norm(cut) > 0.499


def test_the_noise_has_the_spread_that_was_asked_for() -> None:
    """Against a normal distribution, by its moments and its tail, at three scales of the weights."""
    for size in (1e-3, 1.0, 1e3):
        before = {"w": np.full(400_001, size, dtype=np.float32)}
        privacy = Privacy(clip_norm=2.0 * size, noise_multiplier=1.5)
        noise = moved(privatised(before, before, privacy, KEY), before) / (3.0 * size)
        assert abs(noise.mean()) < 0.008
        assert abs(noise.std() - 1) < 0.006
        assert abs((noise**3).mean()) < 0.03
        assert abs((noise**4).mean() - 3) < 0.06
        assert 0.0022 < (np.abs(noise) > 3).mean() < 0.0032
        assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.008


def test_asking_again_averages_nothing_out() -> None:
    before, after = model(np.zeros(12)), model(np.arange(12))
    privacy = Privacy(clip_norm=1.0, noise_multiplier=1.0)
    first, again = (moved(privatised(after, before, privacy, KEY), before) for _ in range(2))
    assert np.array_equal(first, again)


def test_two_updates_of_one_round_cant_be_subtracted_to_be_rid_of_the_noise() -> None:
    """One patient more or less, the same weights to begin with: the noise is another."""
    rng = np.random.default_rng(0)
    before = {"w": np.zeros(10_000, dtype=np.float32)}
    one = {"w": (rng.standard_normal(10_000) * 1e-4).astype(np.float32)}
    other = {"w": one["w"].copy()}
    other["w"][0] += np.float32(1e-6)
    privacy = Privacy(clip_norm=1.0, noise_multiplier=1.0)
    difference = moved(privatised(one, before, privacy, KEY), before) - moved(
        privatised(other, before, privacy, KEY), before
    )
    assert abs(difference.std() - np.sqrt(2)) < 0.05
    elsewhere = moved(privatised(one, before, privacy, bytes(32)), before)
    assert abs(np.corrcoef(elsewhere, moved(privatised(one, before, privacy, KEY), before))[0, 1]) < 0.05


def test_the_last_bits_tell_nothing() -> None:
    """What is added to the weights lies on one grid, whatever the update was."""
    before = {"w": np.zeros(5_000, dtype=np.float32)}
    privacy = Privacy(clip_norm=1.0, noise_multiplier=1.0)
    for value in (0.0, 1e-5, 3.3e-3):
        left = moved(privatised({"w": before["w"] + np.float32(value)}, before, privacy, KEY), before)
        assert np.array_equal(left, np.round(left * 2**24) / 2**24)


def test_what_cant_be_made_private() -> None:
    before = model(np.zeros(12))
    privacy = Privacy(clip_norm=1.0, noise_multiplier=1.0)
    with pytest.raises(ArraysRefused) as refused:
        privatised(model([np.nan, *range(11)]), before, privacy, KEY)
    assert refused.value.reason == "not-finite"
    with pytest.raises(ArraysRefused):
        privatised({"other": before["bias"]}, before, privacy, KEY)
    with pytest.raises(ValueError, match="32 bytes"):
        privatised(before, before, privacy, b"short")
