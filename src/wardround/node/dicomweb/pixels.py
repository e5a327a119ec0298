"""Pixels of an object: frames as they are stored or as plain words, and whole objects in another transfer syntax."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from wardround.dicom.damage import DAMAGE
from wardround.node.dicomweb.header import LARGEST_INLINE, PIXELS

MEDIA = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
"""Transfer syntax to the media type of its frames (PS3.18 Table 8.7.3-5)."""


class PixelsUnreadable(Exception):
    """The object has no such frame, or its pixels can't be decoded."""


def is_compressed(syntax: str) -> bool:
    """Whether the pixels of an object in `syntax` lie in fragments (PS3.5 Annex A.4)."""
    uid = UID(syntax)
    return bool(syntax) and (not uid.is_transfer_syntax or uid.is_encapsulated)


def can_be_plain(syntax: str) -> bool:
    """Whether an object in `syntax` can be given as Explicit VR Little Endian here."""
    if syntax == ExplicitVRBigEndian:
        return False
    if not is_compressed(syntax):
        return True
    try:
        return bool(get_decoder(UID(syntax)).is_available)
    except NotImplementedError:
        return False


def as_explicit_little(file: Path) -> bytes:
    """The object as a Part 10 file in Explicit VR Little Endian, decompressed if need be.

    Raises:
        PixelsUnreadable: its pixels can't be decoded.
    """
    try:
        ds = pydicom.dcmread(file)
        if is_compressed(str(ds.file_meta.TransferSyntaxUID)):
            ds.decompress(generate_instance_uid=False)
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, ds, implicit_vr=False, little_endian=True, enforce_file_format=True)
    except DAMAGE:
        raise PixelsUnreadable from None
    return buffer.getvalue()


def stored_frame(file: Path, number: int) -> bytes:
    """Frame `number`, from 1, of an object whose pixels are compressed, as its own codestream.

    Raises:
        PixelsUnreadable: there is no such frame.
    """
    try:
        ds, raw = _opened(file)
        offsets = None
        if "ExtendedOffsetTable" in ds:
            offsets = (bytes(ds.ExtendedOffsetTable), bytes(ds.ExtendedOffsetTableLengths))
        with file.open("rb") as stream:
            stream.seek(raw.value_tell)
            return get_frame(
                stream,
                number - 1,
                extended_offsets=offsets,
                number_of_frames=int(ds.get("NumberOfFrames") or 1),
            )
    except DAMAGE:
        raise PixelsUnreadable from None


def plain_frame(file: Path, number: int) -> bytes:
    """Frame `number`, from 1, as little-endian words, colour by pixel; single bits are packed, frame by frame.

    Raises:
        PixelsUnreadable: there is no such frame, or it can't be decoded.
    """
    try:
        ds, raw = _opened(file)
        if not _is_plain(ds):
            return _packed(decoded_frame(file, number), ds)
        length = _frame_length(ds)
        if not 1 <= number <= int(ds.get("NumberOfFrames") or 1) or number * length > raw.length:
            raise PixelsUnreadable
        with file.open("rb") as stream:
            stream.seek(raw.value_tell + (number - 1) * length)
            return stream.read(length)
    except DAMAGE:
        raise PixelsUnreadable from None


def decoded_frame(file: Path, number: int, *, as_rgb: bool = False) -> NDArray[Any]:
    """Frame `number`, from 1: (rows, columns) or (rows, columns, samples), as stored or with colour as RGB.

    Raises:
        PixelsUnreadable: there is no such frame, or it can't be decoded.
    """
    try:
        array: NDArray[Any] = pixel_array(file, index=number - 1, raw=not as_rgb)
    except DAMAGE:
        raise PixelsUnreadable from None
    return array


def plain_pixels(file: Path, frames: Sequence[int]) -> bytes:
    """All these frames together, as `plain_frame` gives them."""
    return b"".join(plain_frame(file, number) for number in frames)


def bulk_value(file: Path, place: Sequence[str]) -> bytes:
    """A binary value of the header, by its place (`header.Header`).

    Raises:
        PixelsUnreadable: there is no binary value there.
    """
    try:
        ds = pydicom.dcmread(file, defer_size=LARGEST_INLINE)
        for tag, item in zip(place[:-1:2], place[1:-1:2], strict=True):
            ds = ds[int(tag, 16)].value[int(item)]
        value = ds[int(place[-1], 16)].value
    except DAMAGE:
        raise PixelsUnreadable from None
    if not isinstance(value, bytes):
        raise PixelsUnreadable
    return value


def _opened(file: Path) -> tuple[Dataset, RawDataElement]:
    """The header, and where the pixels lie; they aren't read."""
    ds = pydicom.dcmread(file, defer_size=LARGEST_INLINE)
    for tag in PIXELS:
        if tag in ds:
            raw = ds.get_item(tag, keep_deferred=True)
            if isinstance(raw, RawDataElement):
                return ds, raw
    raise PixelsUnreadable


def _is_plain(ds: Dataset) -> bool:
    """Whether frames are runs of whole little-endian bytes in the file, colour by pixel."""
    syntax = UID(str(ds.file_meta.TransferSyntaxUID))
    interleaved = int(ds.get("SamplesPerPixel") or 1) == 1 or int(ds.get("PlanarConfiguration") or 0) == 0
    return (
        not is_compressed(syntax)
        and not syntax.is_deflated
        and syntax != ExplicitVRBigEndian
        and int(ds.BitsAllocated) % 8 == 0
        and "422" not in str(ds.get("PhotometricInterpretation", ""))
        and interleaved
    )


def _frame_length(ds: Dataset) -> int:
    return int(ds.Rows) * int(ds.Columns) * int(ds.get("SamplesPerPixel") or 1) * int(ds.BitsAllocated) // 8


def _packed(array: NDArray[Any], ds: Dataset) -> bytes:
    if int(ds.get("BitsAllocated") or 8) == 1:
        return np.packbits(array.astype(np.uint8).ravel(), bitorder="little").tobytes()
    return array.astype(array.dtype.newbyteorder("<")).tobytes()
