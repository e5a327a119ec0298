"""What patterns are in an image, in a few numbers: a fixed random convolution, pooled.

Random filters keep how far images are from each other (Jarrett et al., ICCV 2009; Saxe et al., ICML 2011), and they are
the same whatever model reads, in whatever runtime, and after each change of model.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wardround.learning.statistics.discrepancy import image_statistics

_SLICES, _SIDE = 4, 64
_MAPS, _KERNEL = 8, 5
_SEED = 64505
LENGTH = 2 * _MAPS


def image_embedding(image: NDArray[np.float32]) -> tuple[float, ...] | None:
    """Two numbers for each of 8 filters of 5 x 5: how much it answers, and how unevenly over the image, whatever the
    image's unit and zero. Of 4 slices, evenly spaced, each at 64 x 64 points. None of an image without any contrast.

    Args:
        image: (Z, Y, X).
    """
    chosen = np.unique(np.linspace(0, image.shape[0] - 1, _SLICES + 2).astype(int)[1:-1])
    rows, columns = (np.linspace(0, size - 1, _SIDE).astype(int) for size in image.shape[1:])
    points = np.asarray(image[np.ix_(chosen, rows, columns)], np.float64)
    spread = float(points.std())
    if not (spread > 0 and np.isfinite(spread)):
        return None
    windows = np.lib.stride_tricks.sliding_window_view((points - points.mean()) / spread, (_KERNEL, _KERNEL), (1, 2))
    answers = np.maximum(windows.reshape(-1, _KERNEL * _KERNEL) @ _filters(), 0.0)
    told = (*answers.mean(axis=0), *answers.std(axis=0))
    return tuple(float(f"{one:.6g}") for one in told)


def looked_at(image: NDArray[np.float32]) -> tuple[float, ...] | None:
    """Of an image that was read all the numbers by which a change shows: `image_statistics`, then `image_embedding`;
    None where it has none of the first."""
    statistics = image_statistics(image)
    return None if statistics is None else (*statistics, *(image_embedding(image) or ()))


@lru_cache(maxsize=1)
def _filters() -> NDArray[np.float64]:
    """(25, 8), each of mean 0 and length 1."""
    drawn = np.random.default_rng(_SEED).normal(size=(_KERNEL * _KERNEL, _MAPS))
    drawn -= drawn.mean(axis=0)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0), np.float64)
