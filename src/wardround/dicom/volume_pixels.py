"""The pixels of one plane as modality values: decoded, rescaled, right way up in brightness.

Implements DICOM PS3.3 C.7.6.3 (Image Pixel) and C.11.1.1.2 (rescale), for native and compressed data; decoding, and
clearing the bits beside the stored ones, is pydicom's with the codecs that it finds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from wardround.dicom.damage import DAMAGE
from wardround.dicom.pixels_decoding import decoder_for
from wardround.dicom.volume_planes import Plane
from wardround.dicom.volume_refusal import VolumeReason, VolumeRefused
from wardround.dicom.volume_stacks import VolumePolicy

_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601, as PS3.3 C.7.6.3.1.2 has it for Y of YBR_FULL."""

_PHYSICAL = frozenset({"CT", "PT", "NM"})
"""Modalities whose values are a measurement, the same whichever way they are shown."""


def read_plane(ds: Dataset, plane: Plane, policy: VolumePolicy, into: NDArray[np.float32]) -> None:
    """Write the modality values of `plane`, float32 (rows, columns), into `into`.

    Raises:
        VolumeRefused: the pixels are damaged, of an encoding or colour model that isn't read, or not finite.
    """
    photometric = str(ds.get("PhotometricInterpretation") or "")
    colour = int(ds.get("SamplesPerPixel") or 1) == 3 and photometric != "PALETTE COLOR"
    if colour and policy.colour == "refuse":
        raise VolumeRefused(VolumeReason.COLOUR, "a slice is in colour; nothing is learned from colour here")
    if not colour and (photometric not in ("MONOCHROME1", "MONOCHROME2") or ds.get("SamplesPerPixel", 1) != 1):
        raise VolumeRefused(VolumeReason.UNSUPPORTED_PIXELS, "a slice is neither greyscale nor in RGB or YBR")
    if "ModalityLUTSequence" in ds:
        raise VolumeRefused(
            VolumeReason.UNSUPPORTED_PIXELS, "a slice uses a modality look-up table, which is not supported"
        )
    pixels = _decoded(ds, plane.frame)
    if pixels.shape != (*into.shape, 3) if colour else pixels.shape != into.shape:
        raise VolumeRefused(VolumeReason.UNREADABLE, "the pixels of a slice do not fill its rows and columns")
    if colour:
        np.matmul(pixels.astype(np.float32), _LUMINANCE, out=into)
        return
    np.multiply(pixels, np.float32(plane.slope), out=into, casting="unsafe")
    into += np.float32(plane.intercept)
    if photometric == "MONOCHROME1" and str(ds.get("Modality")) not in _PHYSICAL:
        # Low values are bright: turned round within the range that the stored bits allow, the same for every slice.
        np.subtract(np.float32(plane.slope * _extremes(ds, pixels) + 2 * plane.intercept), into, out=into)
    if not np.isfinite(into).all():
        raise VolumeRefused(VolumeReason.UNSUPPORTED_PIXELS, "a slice holds values that are not finite")


def same_pixels(datasets: Sequence[Dataset], one: Plane, other: Plane) -> bool:
    """Whether two planes at one place are the same slice twice: the same numbers with the same meaning."""
    if (one.slope, one.intercept, one.shape) != (other.slope, other.intercept, other.shape):
        return False
    if one.keys != other.keys:
        return False
    first, second = datasets[one.instance], datasets[other.instance]
    if first is second:
        return one.frame == other.frame
    return bool(np.array_equal(_decoded(first, one.frame), _decoded(second, other.frame)))


def _decoded(ds: Dataset, frame: int) -> NDArray[np.generic]:
    try:
        plugin = decoder_for(str(ds.file_meta.TransferSyntaxUID))
        with warnings.catch_warnings():
            # pydicom's warnings may quote values, and nothing of an object may be logged.
            warnings.simplefilter("ignore")
            pixels: NDArray[np.generic] = pixel_array(ds, index=frame, decoding_plugin=plugin)
    except DAMAGE as damage:
        raise VolumeRefused(
            VolumeReason.UNREADABLE,
            "the pixels of a slice are damaged or in an encoding that is not supported",
        ) from damage
    return pixels


def _extremes(ds: Dataset, pixels: NDArray[np.generic]) -> float:
    """The lowest and the highest value that a stored pixel may have, added; floating point is turned round zero."""
    stored = int(ds.get("BitsStored") or pixels.dtype.itemsize * 8)
    return {"u": float((1 << stored) - 1), "i": -1.0}.get(pixels.dtype.kind, 0.0)
