"""One slice of a patient whom a model was judged on, with what the model outlined and what a person drew."""

from __future__ import annotations

from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wardround.dicom.edge import edge_of

MODEL, REFERENCE = (255, 176, 0), (64, 200, 255)
"""Colours, told apart by the colour-blind too: orange is the model's outline, blue the person's."""
Value = TypeVar("Value", bound=np.generic)
_WIDTH = 320
_PERCENTILES = (1.0, 99.5)


def picture_of(image: NDArray[np.float32], told: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> bytes | None:
    """The slice on which the two differ most, as PNG of at least 320 columns; None where they are the same.

    Args:
        image, told, drawn: (Z, Y, X); of the model, and of the person.
    """
    apart = np.count_nonzero(told != drawn, axis=(1, 2))
    at = int(apart.argmax())
    if not apart[at]:
        return None
    low, high = np.percentile(image[at], _PERCENTILES)
    grey = (np.clip((image[at] - low) / max(float(high - low), 1e-6), 0, 1) * 255).astype(np.uint8)
    times = max(1, -(-_WIDTH // grey.shape[1]))
    rgb = np.repeat(_larger(grey, times)[:, :, None], 3, axis=2)
    for mask, colour in ((drawn[at], REFERENCE), (told[at], MODEL)):
        rgb[edge_of(_larger(mask, times))] = colour
    png = BytesIO()
    Image.fromarray(rgb).save(png, "PNG", optimize=True)
    return png.getvalue()


def _larger(array: NDArray[Value], times: int) -> NDArray[Value]:
    return array.repeat(times, axis=0).repeat(times, axis=1)
