"""A frame prepared in several ways, in each of which another kind of burned-in text stands out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.uint8]

_NOISY = 9.0
_STROKE = 7
"""Pixels: finer than this are the strokes of small print."""
_PLAIN = 0.0002
_COLOURED = 40


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as grey pictures (rows, columns) of 0 to 255; all three are one for a grey image.

    frame: its number from 1, or None for a picture made of all frames. brightest, darkest: of the colours, each pixel's
    largest and smallest, from the smallest to the largest value. shown: as a viewer would show it, extremes cut off.
    turned: also to be read in the three other quarter turns.
    """

    frame: int | None
    brightest: Grey
    darkest: Grey
    shown: Grey
    turned: bool = True


def layers(picture: Picture) -> Iterator[Grey]:
    """The picture as it is shown; its thin bright and thin dark lines, whatever lies under them; what is bright, and
    what is dark, without what lies between; and what is coloured. Softly, since a sharp threshold breaks letters."""
    yield _quiet(picture.shown)
    yield from _telling(_thin(picture.brightest, ImageFilter.MinFilter, ImageFilter.MaxFilter))
    yield from _telling(_thin(picture.darkest, ImageFilter.MaxFilter, ImageFilter.MinFilter))
    yield from _telling(_ramp(picture.brightest, 128, 242))
    # A single hot pixel may press all else down.
    if float(np.percentile(picture.brightest, 99.8)) < 128:
        yield from _telling(_ramp(picture.shown, 128, 242))
    yield from _telling(_ramp(picture.darkest, 12, 128))
    if picture.brightest is not picture.darkest:
        colour = picture.brightest - np.minimum(picture.darkest, picture.brightest)
        if int(colour.max()) > _COLOURED:
            yield from _telling(_ramp(colour, _COLOURED, 200))


def _thin(image: Grey, first: Callable[[int], ImageFilter.Filter], then: Callable[[int], ImageFilter.Filter]) -> Grey:
    """What a morphological opening (or, of the dark, a closing) takes away: the top-hat of Meyer (1979)."""
    without = np.asarray(Image.fromarray(image).filter(first(_STROKE)).filter(then(_STROKE)))
    lines = np.abs(image.astype(np.int16) - without)
    most = max(float(np.percentile(lines, 99.98)), 1.0)
    # Where all is thin lines, as in speckle, only the strongest can be print.
    least = max(0.25 * most, min(float(np.percentile(lines, 95)), 0.6 * most))
    return np.asarray(np.clip((lines - least) * (255 / (0.85 * most - least)), 0, 255), np.uint8)


def _telling(layer: Grey) -> Iterator[Grey]:
    """The layer, unless it is plain."""
    share = float(np.count_nonzero(layer > 127)) / layer.size
    if _PLAIN < share < 1 - _PLAIN:
        yield layer


def _ramp(image: Grey, low: int, high: int) -> Grey:
    table = np.clip((np.arange(256) - low) * 255 / (high - low), 0, 255).astype(np.uint8)
    return table[image]


def _quiet(image: Grey) -> Grey:
    """The picture, smoothed where it is so noisy that noise would be read as text."""
    steps = np.abs(np.diff(image.astype(np.int16), axis=1))
    if steps.size == 0 or float(np.median(steps)) < _NOISY:
        return image
    return np.asarray(Image.fromarray(image).filter(ImageFilter.MedianFilter(3)))
