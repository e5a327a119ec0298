"""Distances of surfaces, held against every pair of surface voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.learning.statistics.surface import Distances, distances


def _by_pairs(one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> Distances:
    def surface(mask: np.ndarray) -> np.ndarray:
        found = []
        for place in np.argwhere(mask):
            beside = [place + step for axis in range(mask.ndim) for step in (np.eye(mask.ndim, dtype=int)[axis],)]
            beside += [place - step for axis in range(mask.ndim) for step in (np.eye(mask.ndim, dtype=int)[axis],)]
            inside = [bool((at >= 0).all() and (at < mask.shape).all() and mask[tuple(at)]) for at in beside]
            if not all(inside):
                found.append(place * np.array(spacing))
        return np.array(found)

    a, b = surface(one), surface(other)
    apart = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    there, back = apart.min(1), apart.min(0)
    average = (there.sum() + back.sum()) / (len(there) + len(back))
    return Distances(average, max(np.percentile(there, 95), np.percentile(back, 95)))


@given(st.integers(0, 2**32), st.tuples(*[st.floats(0.3, 5)] * 3))
@settings(max_examples=40, deadline=None)
def test_distances_are_those_of_every_pair(seed: int, spacing: tuple[float, float, float]) -> None:
    draws = np.random.default_rng(seed)
    one, other = draws.random((2, 4, 6, 5)) < draws.random()
    if not one.any() or not other.any():
        assert distances(one, other, spacing) is None
        return
    found, wanted = distances(one, other, spacing), _by_pairs(one, other, spacing)
    assert found is not None
    assert (found.average, found.hd95) == pytest.approx((wanted.average, wanted.hd95))


def test_a_box_that_moved_is_as_far_as_it_moved() -> None:
    one, other = np.zeros((2, 20, 20, 20), bool)
    one[5, 5:10, 5:10] = True
    other[9, 5:10, 5:10] = True
    found = distances(one, other, (2.5, 1, 1))
    assert found == Distances(10.0, 10.0)
    assert distances(one, one, (2.5, 1, 1)) == Distances(0.0, 0.0)
    with pytest.raises(ValueError):
        distances(one, other[:4], (1, 1, 1))
