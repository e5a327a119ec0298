"""Patterns of images as numbers: the same whatever the unit, others where patterns change that statistics miss."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.learning.statistics.discrepancy import NAMES, differs, image_statistics
from wardround.learning.statistics.embedding import LENGTH, image_embedding, looked_at


def stripes(seed: int) -> np.ndarray:
    """Soft stripes of a random phase in noise."""
    draws = np.random.default_rng(seed)
    wave = np.sin(np.arange(64) / 2 + draws.uniform(0, 6))
    image = draws.normal(100, 5, (6, 64, 64)) + 20 * wave
    return image.astype(np.float32)


def test_unit_and_zero_dont_matter() -> None:
    image = stripes(1)
    told = image_embedding(image) or ()
    assert len(told) == LENGTH and image_embedding(image * 7 - 1000) == pytest.approx(told, rel=1e-3)
    assert (looked_at(image) or ())[: len(NAMES)] == image_statistics(image)
    assert image_embedding(np.full((3, 5, 5), 7, np.float32)) is None and looked_at(np.zeros((3, 5, 5))) is None


def test_turned_patterns_are_noticed_that_the_statistics_of_voxels_miss_and_other_patients_arent() -> None:
    first = [stripes(seed) for seed in range(60)]
    others = [stripes(seed) for seed in range(100, 130)]
    turned = [image.swapaxes(1, 2) for image in others]
    numbers = [[image_embedding(image) or () for image in images] for images in (first, others, turned)]
    assert differs(numbers[0], numbers[2], 0.01) < 0.01 < differs(numbers[0], numbers[1], 0.01)
    untold = [[(image_statistics(image) or ())[:6] for image in images] for images in (first, turned)]
    assert differs(*untold, 0.01) > 0.01
