"""The click network: it learns, tells the same twice, and says how unsure it is."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.learning.arrays import ArraysRefused
from wardround.learning.interactive.canvas import Canvas
from wardround.learning.interactive.lessons import Lesson, trained
from wardround.learning.interactive.network import ClickNetwork

SPACING = (3.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(0).normal(100, 5, (6, 16, 18)).astype(np.float32)
    label = np.zeros(image.shape, bool)
    label[2:5, 4:11, 5:12] = True
    image[label] += 80
    return image, label


@pytest.fixture(scope="module")
def weights(scene: tuple[np.ndarray, np.ndarray]) -> bytes:
    return trained([Lesson.of(*scene, SPACING)], steps=40, seed=1)


def test_it_learns_to_outline_what_was_labelled(scene: tuple[np.ndarray, np.ndarray], weights: bytes) -> None:
    image, label = scene
    found = ClickNetwork.of(weights).outline(Canvas.of(image, SPACING), [(3, 7, 8)], [(0, 0, 0)])
    assert found.shape == label.shape and found.dtype == np.bool_
    assert 2 * (found & label).sum() / (found.sum() + label.sum()) > 0.5


def test_a_click_counts_even_where_the_network_sees_nothing_of_the_kind(
    scene: tuple[np.ndarray, np.ndarray], weights: bytes
) -> None:
    network, canvas = ClickNetwork.of(weights), Canvas.of(scene[0], SPACING)
    found = network.outline(canvas, [(0, 1, 1), (3, 7, 8)], [(3, 9, 9)])
    assert found[0, :3, :3].all() and found[3, 7, 8] and not found[3, 9, 9]


def test_the_same_lessons_give_the_same_weights_and_training_goes_on(
    scene: tuple[np.ndarray, np.ndarray],
) -> None:
    lessons = [Lesson.of(*scene, SPACING)]
    told: list[int] = []
    first = trained(lessons, steps=2, seed=1, progress=lambda step, _loss: told.append(step))
    assert first == trained(lessons, steps=2, seed=1)
    assert trained(lessons, steps=1, seed=1, begin=first) != first
    assert told == [1, 2]


def test_half_the_width_shows_the_same_over_twice_as_wide_voxels(scene: tuple[np.ndarray, np.ndarray]) -> None:
    whole = Lesson.of(*scene, SPACING)
    half = whole.halved()
    assert half.image.shape == (whole.image.shape[0], whole.image.shape[1] // 2, whole.image.shape[2] // 2)
    assert half.steps == (whole.steps[0], 2 * whole.steps[1], 2 * whole.steps[2])
    assert float(half.label.sum()) == pytest.approx(float(whole.label.sum()) / 4)


def test_its_doubt_is_a_share_and_the_same_each_time(scene: tuple[np.ndarray, np.ndarray], weights: bytes) -> None:
    network, canvas = ClickNetwork.of(weights), Canvas.of(scene[0], SPACING)
    doubt = network.doubt(canvas)
    assert 0 <= doubt <= 1
    assert network.doubt(canvas) == doubt


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ArraysRefused):
        ClickNetwork({"one": np.zeros(3, np.float32)})
