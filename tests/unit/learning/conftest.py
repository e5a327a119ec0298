"""Heads as bright ellipsoids with a brighter ball for a tumour: the least that a segmenter can learn from."""

import numpy as np
import pytest
from hypothesis import settings

from wardround.learning.case import Case

# A busy machine is no reason to fail: hypothesis would time each example.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def ball_head(
    seed=0, *, shape=(8, 64, 56), spacing=(6.0, 4.0, 4.0), dtype=np.float32, unit=100.0, air=0.0, shift=(0, 0)
):
    """One case; the head is 170 x 140 mm in the plane, the tumour a ball of 24 to 40 mm across inside it."""
    draws = np.random.default_rng(seed)
    z, y, x = (
        (np.arange(n) - (n - 1) / 2).reshape([-1 if axis == k else 1 for k in range(3)]) * mm
        for axis, (n, mm) in enumerate(zip(shape, spacing, strict=True))
    )
    y, x = y - shift[0], x - shift[1]
    head = (z / 40) ** 2 + (y / 85) ** 2 + (x / 70) ** 2 < 1
    middle, radius = draws.uniform((-10, -45, -35), (10, 45, 35)), draws.uniform(12, 20)
    tumour = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 < radius**2
    image = head * (1 + 0.05 * draws.standard_normal(shape)) + 0.8 * tumour
    image = air + unit * np.clip(image, 0, None)
    return Case(f"ball-{seed}", image.astype(dtype), tumour & head, spacing)


@pytest.fixture(name="ball_head", scope="session")
def _ball_head():
    """The function above, for tests."""
    return ball_head
