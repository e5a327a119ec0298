"""Outlines from a few marks, on a bright ball in a darker head: nothing is trained."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.learning.interactive.geodesic import Coarse, outline
from wardround.learning.interactive.interpolation import between
from wardround.learning.interactive.simulation import next_click
from wardround.learning.metrics import dice

SPACING = (3.0, 1.5, 1.5)


def ball(shape: tuple[int, int, int], middle: tuple[int, int, int], radius: float) -> np.ndarray:
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    far = ((z - middle[0]) * 2) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2
    return np.asarray(far <= radius**2)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A head of 100, in air of 0, with a lesion of 200 and noise over all."""
    shape = (24, 64, 64)
    image = np.zeros(shape, np.float32)
    image[ball(shape, (12, 32, 32), 28)] = 100
    wanted = ball(shape, (12, 28, 40), 10)
    image[wanted] = 200
    image += np.random.default_rng(1).normal(0, 6, shape).astype(np.float32)
    return image, wanted


def test_one_click_finds_a_lesion_that_stands_out(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, wanted = scene
    found = outline(Coarse.of(image, SPACING), [(12, 28, 40)], [])
    assert dice(found, wanted) > 0.8


def test_a_click_outside_takes_away_what_lies_there(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = scene
    other = ball(image.shape, (12, 40, 20), 8)
    both = np.where(other, np.float32(200), image)
    coarse = Coarse.of(both, SPACING)
    corrected = outline(coarse, [(12, 28, 40)], [(12, 40, 20)])
    assert not corrected[12, 40, 20] and corrected[12, 28, 40]
    assert not (corrected & other).sum() > 0.2 * other.sum()


def test_nothing_marked_is_nothing_outlined_and_a_mark_at_the_rim_is_taken() -> None:
    image = np.random.default_rng(2).random((5, 7, 9), np.float32)
    coarse = Coarse.of(image, SPACING)
    assert not outline(coarse, [], [(0, 0, 0)]).any()
    assert outline(coarse, [(4, 6, 8)], []).shape == image.shape


def test_a_large_image_is_worked_on_at_a_size_that_a_person_waits_for() -> None:
    coarse = Coarse.of(np.zeros((96, 128, 128), np.float32), (1.0, 1.0, 1.0))
    assert coarse.values.size <= 150_000
    assert outline(coarse, [(50, 60, 60)], []).shape == (96, 128, 128)


def test_a_reader_clicks_into_the_middle_of_the_largest_error() -> None:
    wanted, found = np.zeros((2, 3, 20, 20), bool)
    wanted[1, 5:14, 5:14] = True
    first = next_click(wanted, found)
    assert first is not None and (first.inside, first.place) == (True, (1, 9, 9))
    found[1, 5:14, 5:14] = True
    found[2, 0:4, 0:4] = True
    second = next_click(wanted, found)
    assert second is not None and not second.inside and second.place[0] == 2
    assert next_click(wanted, wanted) is None


def test_slices_between_two_drawn_ones_are_filled_and_those_drawn_stay() -> None:
    mask = np.zeros((9, 40, 40), bool)
    mask[0], mask[8] = ball((1, 40, 40), (0, 20, 14), 6)[0], ball((1, 40, 40), (0, 20, 26), 10)[0]
    filled = between(mask)
    assert np.array_equal(filled[[0, 8]], mask[[0, 8]])
    assert filled.any((1, 2)).all()
    middles = [np.argwhere(one)[:, 1].mean() for one in filled]
    assert middles == sorted(middles)
    assert not between(np.zeros_like(mask)).any()
