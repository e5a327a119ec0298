"""Frames as pictures for people: window and level applied, PNG or JPEG (PS3.18 8.7.4, 10.4.1.1.3; PS3.3 C.11, C.7.6.3).

The order is that of PS3.4 Annex N.2: modality transformation, VOI transformation, presentation; or the palette.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from wardround.dicom.damage import DAMAGE
from wardround.node.dicomweb.failure import bad_request
from wardround.node.dicomweb.header import LARGEST_INLINE
from wardround.node.dicomweb.pixels import PixelsUnreadable, decoded_frame

LARGEST_SIDE = 8192
THUMBNAIL = 128
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """Center and width in the units after the modality transformation; `function` as in VOI LUT Function."""

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True)
class View:
    """How to show a frame: `size` (width, height) that it has to fit in, `window` instead of the object's own."""

    window: Window | None = None
    size: tuple[int, int] | None = None
    quality: int = 90


def read_view(parameters: Mapping[str, str]) -> View:
    """The view that the query part of an address asks for (PS3.18 8.3.5).

    Raises:
        WebFailure: 400, a parameter that can't be understood. `annotation` isn't offered and has no effect.
    """
    window, size = None, None
    if text := parameters.get("window"):
        parts = text.split(",")
        function = _FUNCTIONS.get(parts[2].lower()) if len(parts) == 3 else "LINEAR"
        numbers = _numbers(parts[:2])
        if len(parts) not in (2, 3) or numbers is None or function is None or numbers[1] <= 0:
            raise bad_request("window has to be center,width or center,width,function")
        if function == "LINEAR" and numbers[1] < 1:
            raise bad_request("a linear window is at least 1 wide")
        window = Window(numbers[0], numbers[1], function)
    if text := parameters.get("viewport"):
        numbers = _numbers(text.split(",")[:2])
        if numbers is None or not all(1 <= side <= LARGEST_SIDE and side == int(side) for side in numbers):
            raise bad_request(f"viewport has to be width,height, each from 1 to {LARGEST_SIDE}")
        size = int(numbers[0]), int(numbers[1])
    quality = parameters.get("quality", "90")
    if not (quality.isascii() and quality.isdigit() and 1 <= int(quality) <= 100):
        raise bad_request("quality has to be from 1 to 100")
    return View(window, size, int(quality))


def rendered(file: Path, number: int, view: View, kind: str) -> bytes:
    """Frame `number`, from 1, as `image/png` or `image/jpeg`.

    Raises:
        PixelsUnreadable: there is no such frame, or it can't be shown.
    """
    try:
        ds = pydicom.dcmread(file, defer_size=LARGEST_INLINE)
        levels = displayed(ds, decoded_frame(file, number, as_rgb=True), number, view.window)
        image = Image.fromarray(levels)
        if view.size is not None:
            scale = min(view.size[0] / image.width, view.size[1] / image.height)
            sides = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(sides, Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        if kind == "image/png":
            image.save(buffer, "PNG")
        else:
            image.save(buffer, "JPEG", quality=view.quality)
    except DAMAGE:
        raise PixelsUnreadable from None
    return buffer.getvalue()


def displayed(ds: Dataset, frame: NDArray[Any], number: int, window: Window | None) -> NDArray[np.uint8]:
    """A frame as 8-bit levels: (rows, columns), or (rows, columns, 3) for colour. 0 is black.

    Args:
        frame: stored values, colour already as RGB.
        number: which frame it is, from 1, for what a multi-frame object says frame by frame.
    """
    kind = str(ds.get("PhotometricInterpretation", "MONOCHROME2"))
    if kind == "PALETTE COLOR":
        return _eight_bits(apply_color_lut(frame, ds))
    if frame.ndim == 3:
        bits = int(ds.get("BitsStored") or 8)
        return (frame >> (bits - 8) if bits > 8 else frame).astype(np.uint8)
    frame_ds = _of_frame(ds, number)
    values = apply_modality_lut(frame, frame_ds).astype(np.float64)
    if window is not None:
        shown = windowed(values, window)
    elif "VOILUTSequence" in frame_ds:
        shown = _spread(apply_voi(values.astype(np.int64), frame_ds).astype(np.float64), None)
    elif "WindowWidth" in frame_ds and "WindowCenter" in frame_ds:
        shown = windowed(values, _own_window(frame_ds))
    else:
        shown = _spread(values, _padding(frame_ds, frame))
    if kind == "MONOCHROME1" or str(ds.get("PresentationLUTShape", "")) == "INVERSE":
        shown = 1.0 - shown
    return np.round(shown * 255).astype(np.uint8)


def windowed(values: Floats, window: Window) -> Floats:
    """Values through a window, 0 to 1 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        exponent = np.clip(-4 * (values - center) / width, -700, 700)
        return np.asarray(1 / (1 + np.exp(exponent)), dtype=np.float64)
    if window.function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)


def _own_window(ds: Dataset) -> Window:
    center, width = _first(ds.WindowCenter), _first(ds.WindowWidth)
    function = str(ds.get("VOILUTFunction") or "LINEAR").upper()
    return Window(center, max(width, 1e-6), function if function in _FUNCTIONS.values() else "LINEAR")


def _first(value: object) -> float:
    return float(value[0]) if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else float(str(value))


def _of_frame(ds: Dataset, number: int) -> Dataset:
    """What holds for one frame: the object's own, the shared and the frame's functional groups (PS3.3 C.7.6.16)."""
    if "SharedFunctionalGroupsSequence" not in ds and "PerFrameFunctionalGroupsSequence" not in ds:
        return ds
    merged = Dataset()
    merged.update({element.tag: element for element in ds if element.tag.group == 0x0028 and element.VR != "SQ"})
    groups = list(ds.get("SharedFunctionalGroupsSequence") or [])
    frames = ds.get("PerFrameFunctionalGroupsSequence") or []
    groups += [frames[number - 1]] if number <= len(frames) else []
    for group in groups:
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(macro) or []:
                merged.update({element.tag: element for element in item})
    return merged


def _padding(ds: Dataset, frame: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where the stored values are padding, which no picture's range should follow (PS3.3 C.7.5.1.1.2)."""
    value = ds.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = ds.get("PixelPaddingRangeLimit")
    low, high = sorted((value, limit if isinstance(limit, int) else value))
    return np.asarray((frame >= low) & (frame <= high))


def _spread(values: Floats, apart: NDArray[np.bool_] | None) -> Floats:
    """Values from 0, the least, to 1, the greatest."""
    seen = values if apart is None or apart.all() else values[~apart]
    low, high = float(seen.min()), float(seen.max())
    return np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(values)


def _eight_bits(colours: NDArray[Any]) -> NDArray[np.uint8]:
    """Palette entries, of 8 or 16 bits (PS3.3 C.7.9)."""
    return (colours >> 8 if colours.dtype.itemsize == 2 else colours).astype(np.uint8)


def _numbers(parts: list[str]) -> tuple[float, float] | None:
    try:
        first, second = (float(part) for part in parts)
    except ValueError:
        return None
    return (first, second) if np.isfinite(first) and np.isfinite(second) else None
