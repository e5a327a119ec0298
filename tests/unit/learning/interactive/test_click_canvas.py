"""The grid of the click network: what it leaves out, how large it gets, and that an outline comes back where it was."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.learning.interactive.canvas import CHANNELS, MOST_VOXELS, Canvas, told
from wardround.learning.metrics import dice


def head(shape: tuple[int, int, int], inside: tuple[slice, slice, slice]) -> np.ndarray:
    image = np.random.default_rng(0).normal(5, 2, shape).astype(np.float32)
    image[inside] += 100
    return image


@pytest.mark.parametrize(
    ("shape", "spacing", "box"),
    [
        ((96, 128, 128), (1.5, 1.5, 1.5), (slice(0, 96), slice(10, 120), slice(20, 100))),
        ((30, 128, 128), (4.0, 1.9, 1.9), (slice(0, 30), slice(8, 121), slice(21, 106))),
        ((5, 7, 9), (3.0, 1.0, 1.0), (slice(1, 5), slice(1, 6), slice(2, 8))),
        ((1, 700, 600), (1.0, 0.5, 0.5), (slice(0, 1), slice(50, 650), slice(50, 550))),
    ],
)
def test_air_is_left_out_and_an_outline_comes_back_where_it_was(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], box: tuple[slice, slice, slice]
) -> None:
    canvas = Canvas.of(head(shape, box), spacing)
    assert canvas.values.size <= MOST_VOXELS
    assert canvas.box == box
    assert not canvas.values.shape[1] % 8 and not canvas.values.shape[2] % 8
    middle = [(one.start + one.stop) / 2 for one in box]
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    far = sum(
        ((at + 0.5 - centre) / max((one.stop - one.start) / 4, 1)) ** 2
        for at, centre, one in zip((z, y, x), middle, box, strict=True)
    )
    label = np.asarray(far < 1)
    back = canvas.outline(canvas.laid(label) - np.float32(0.5))
    assert back.shape == shape and dice(back, label) > 0.9


def test_an_image_of_one_value_and_a_mark_beside_the_grid_are_taken() -> None:
    canvas = Canvas.of(np.full((4, 20, 20), 7, np.float32), (1.0, 1.0, 1.0))
    assert canvas.shape == (4, 20, 20) and np.isfinite(canvas.values).all()
    part = Canvas.of(head((4, 40, 40), (slice(0, 4), slice(8, 32), slice(8, 32))), (1.0, 1.0, 1.0))
    assert part.place((0, 0, 39)) == (0, 0, part.values.shape[2] - 1)
    assert not part.outline(np.full(part.values.shape, -1, np.float32)).any()


def test_a_click_is_told_where_it_is_and_among_what_is_like_it() -> None:
    values = np.zeros((3, 16, 16), np.float32)
    values[:, :, 8:] = 1
    given = told(values, (2.0, 1.0, 1.0), [(1, 4, 12)], [])
    assert given.shape == (CHANNELS, 3, 8, 8)
    near, like = given[4:6]
    assert np.unravel_index(int(near.argmax()), near.shape)[0] == 1
    assert near[1, 2, 6] > 0.9 and near[1, 7, 0] < 0.1
    assert like[1, 2, 4] > 0.7 > 0.1 > like[1, 2, 3]
    assert not given[6:].any()
