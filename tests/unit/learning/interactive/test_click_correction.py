"""Whatever a network or geodesic distance makes of clicks, each click ends on the side that it was said to be on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.learning.interactive.correction import SURE, corrected
from wardround.learning.interactive.geodesic import Coarse, outline
from wardround.learning.interactive.mark import Mark, kept_to

SHAPE, STEPS = (5, 24, 64), (4.0, 2.0, 2.0)
MARKS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 23), st.integers(0, 63)), max_size=6, unique=True)


@pytest.fixture(scope="module")
def halves() -> np.ndarray:
    """Dark on the left, bright on the right."""
    values = np.zeros(SHAPE, np.float32)
    values[:, :, 32:] = 1
    return values


def test_what_is_near_and_like_a_click_is_corrected_and_nothing_else(halves: np.ndarray) -> None:
    missed = np.full(SHAPE, -3, np.float32)
    found = corrected(missed, halves, STEPS, [(2, 12, 36)], [])
    assert found[2, 12, 36] > SURE - 0.1
    assert (found[2, 10:15, 33:40] > 0).all() and (found[3, 12, 35:38] > 0).all()
    assert np.allclose(found[:, :, :32], -3, atol=0.2) and np.allclose(found[:, :, 60:], -3, atol=0.2)
    taken_back = corrected(found, halves, STEPS, [(2, 12, 36)], [(2, 12, 44)])
    assert taken_back[2, 12, 44] < 0 < taken_back[2, 12, 36]


def test_a_network_that_is_right_at_every_click_is_left_as_it_is(halves: np.ndarray) -> None:
    right = (halves * 8 - 4).astype(np.float32)
    assert corrected(right, halves, STEPS, [], []) is right
    assert np.array_equal(corrected(right, halves, STEPS, [(2, 3, 40)], [(1, 2, 3)]), right)


@settings(max_examples=40)
@given(logit=st.floats(-50, 50), foreground=MARKS, background=MARKS)
def test_any_clicks_on_any_network_end_where_they_were_said_to_be(
    logit: float, foreground: list[Mark], background: list[Mark]
) -> None:
    values = np.linspace(-1, 1, num=int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    found = corrected(np.full(SHAPE, logit, np.float32), values, STEPS, foreground, background) > 0
    kept_to(found, foreground, background)
    assert all(found[mark] for mark in foreground)
    assert not any(found[mark] for mark in set(background) - set(foreground))


@settings(max_examples=15)
@given(foreground=MARKS.filter(bool), background=MARKS)
def test_geodesic_distance_is_true_to_any_clicks_too(foreground: list[Mark], background: list[Mark]) -> None:
    image = np.random.default_rng(0).random(SHAPE, np.float32)
    found = outline(Coarse.of(image, STEPS), foreground, background)
    assert all(found[mark] for mark in foreground)
    assert not any(found[mark] for mark in set(background) - set(foreground))
    assert found.shape == SHAPE


def test_beside_a_click_within_its_slice_the_outline_is_as_at_it() -> None:
    found = np.zeros(SHAPE, bool)
    found[3] = True
    kept_to(found, [(0, 5, 5)], [(3, 0, 63)])
    assert found[0, 4:7, 4:7].all() and found[0].sum() == 9
    assert not found[3, :2, 62:].any() and found[3].sum() == 24 * 64 - 4
