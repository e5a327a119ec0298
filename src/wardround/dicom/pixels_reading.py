"""Decode frames of any object that pydicom can decode, as grey or coloured pictures of 8 bits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from wardround.dicom.damage import DAMAGE
from wardround.dicom.pixels_decoding import decoder_for
from wardround.dicom.pixels_facts import PixelFacts
from wardround.dicom.pixels_layers import Grey, Picture

SAMPLED = 5
"""How many frames of an object are read one by one; all others are seen through the projections."""
MOST_FRAMES = 600
MOST_PIXELS, MOST_PIXELS_OF_ALL = 100_000_000, 4_000_000_000
"""Of a frame, and of all frames together: beyond that, decoding would take the machine's memory or its day."""
_CUT = (0.5, 99.8)

Pixels = NDArray[np.generic]


class Undecodable(Exception):
    """The pixels of an object can't be decoded here."""


def sampled(frames: int, most: int = SAMPLED) -> tuple[int, ...]:
    """Numbers (from 1) of frames spread evenly over an object, the first and the last among them."""
    if frames <= most:
        return tuple(range(1, frames + 1))
    return tuple(sorted({1 + round(place * (frames - 1) / (most - 1)) for place in range(most)}))


def pictures(part10: bytes, facts: PixelFacts) -> list[Picture]:
    """The sampled frames of an object, and where it has more, the largest and the smallest value over all frames.

    Raises:
        Undecodable: no decoder here understands the pixels, or they are damaged, or there are too many.
    """
    numbers = sampled(facts.frames)
    pixels = facts.rows * facts.columns
    if facts.frames > MOST_FRAMES or pixels > MOST_PIXELS or pixels * facts.frames > MOST_PIXELS_OF_ALL:
        raise Undecodable
    with _sound(part10) as dataset:
        if len(numbers) == facts.frames:
            return [picture(_frame(dataset, number), number) for number in numbers]
        found: list[Picture] = []
        highest = lowest = _frame(dataset, 1)
        for number in range(1, facts.frames + 1):
            frame = _frame(dataset, number)
            highest, lowest = np.maximum(highest, frame), np.minimum(lowest, frame)
            if number in numbers:
                # What is printed on its side stands still, and is seen in the projections.
                found.append(picture(frame, number, turned=False))
        return [*found, picture(highest, None), picture(lowest, None)]


def png(part10: bytes, number: int, boxes: Sequence[tuple[int, int, int, int]] = ()) -> bytes:
    """One frame (from 1) as a PNG file for a person to look at; `boxes` (row, column, height, width) are outlined.

    Raises:
        Undecodable: the frame isn't there or can't be decoded.
    """
    with _sound(part10) as dataset:
        frame = _frame(dataset, number)
    if frame.ndim == 3:
        image = Image.fromarray(np.ascontiguousarray(_eight(frame)[:, :, :3]))
    else:
        image = Image.fromarray(_window(frame)).convert("RGB")
        if str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1":
            image = Image.fromarray(255 - np.asarray(image))
    if boxes:
        from PIL import ImageDraw

        draw = ImageDraw.Draw(image)
        for row, column, height, width in boxes:
            draw.rectangle((column - 1, row - 1, column + width, row + height), outline=(255, 160, 0))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def picture(frame: Pixels, number: int | None, *, turned: bool = True) -> Picture:
    """A frame (rows, columns) or (rows, columns, samples) of any kind of number as grey pictures."""
    if frame.ndim == 3:
        colours = _eight(frame)[:, :, :3]
        brightest, darkest = colours.max(axis=2), colours.min(axis=2)
        return Picture(number, _stretched(brightest), darkest, _window(brightest), turned)
    whole = _stretched(frame)
    return Picture(number, whole, whole, _window(frame), turned)


@contextmanager
def _sound(part10: bytes) -> Iterator[Dataset]:
    """The data set for decoding. Whatever decoders raise is `Undecodable`; their warnings, which may quote values, are
    kept quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield pydicom.dcmread(io.BytesIO(part10))
        except DAMAGE:
            raise Undecodable from None


def _frame(dataset: Dataset, number: int) -> Pixels:
    plugin = decoder_for(str(dataset.file_meta.TransferSyntaxUID))
    frame: Pixels = pixel_array(dataset, index=number - 1, decoding_plugin=plugin)
    if str(dataset.get("PhotometricInterpretation", "")) == "PALETTE COLOR":
        frame = apply_color_lut(frame, dataset)
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] < 3):
        raise ValueError("not a frame")
    return frame


def _eight(colours: Pixels) -> Grey:
    """Colours as 8 bits: those of 16 by their upper half, whatever the range used."""
    if colours.dtype.itemsize == 1:
        return np.asarray(colours, np.uint8)
    return np.asarray(np.asarray(colours, np.uint16) >> 8, np.uint8)


def _stretched(values: Pixels) -> Grey:
    """From the smallest value (0) to the largest (255)."""
    numbers = np.nan_to_num(np.asarray(values, np.float32))
    return _between(numbers, float(numbers.min()), float(numbers.max()))


def _window(values: Pixels) -> Grey:
    """As a viewer shows it: the few smallest and largest values cut off."""
    numbers = np.nan_to_num(np.asarray(values, np.float32))
    low, high = np.percentile(numbers, _CUT)
    if high <= low:
        return _stretched(values)
    return _between(numbers, float(low), float(high))


def _between(numbers: NDArray[np.float32], low: float, high: float) -> Grey:
    if not high > low:
        return np.zeros(numbers.shape, np.uint8)
    return np.asarray(np.clip((numbers - low) * (255 / (high - low)), 0, 255), np.uint8)
