"""Blacken rectangles of an image, and leave every other pixel as it was.

Implements the Clean Pixel Data Option (PS3.15 E.3.1) on a de-identified object. Native pixel data stay in their
transfer syntax and only the boxes change; compressed pixel data are decoded and stored as Explicit VR Little Endian,
since encoding them once more could change what lies outside of the boxes.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from wardround.dicom.deidentify_elements import PIXEL_DATA, ElementReader, ElementWriter, Encoding
from wardround.dicom.errors import Reason, Refused
from wardround.dicom.header_meta import file_meta
from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_elements import Elements, code_item
from wardround.dicom.pixels_facts import BIG_ENDIAN, EXPLICIT, IMPLICIT, NATIVE, data_set_bytes
from wardround.dicom.pixels_layout import Layout
from wardround.dicom.statement import Deidentified
from wardround.dicom.volume_geometry import DAMAGE

CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")
"""Code value and meaning, scheme DCM (PS3.16 CID 7050)."""

# Lossy transfer syntaxes and the term for what was done (PS3.3 C.7.6.1.1.5.1).
_LOSSY = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.93": "ISO_15444_2",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}
_ICON = 0x00880200
_OFFSETS = (0x7FE00001, 0x7FE00002)
# Smallest and largest values no longer hold where the largest was text.
_EXTREMES = (0x00280106, 0x00280107, 0x00280108, 0x00280109)


def redacted(one: Deidentified, boxes: Sequence[Box]) -> Deidentified:
    """A de-identified object with these boxes blackened, and its statement saying so. Raises as `redact` does."""
    if not boxes:
        return one
    data, transfer_syntax = _redact(one.data, boxes)
    options = tuple(sorted({*one.statement.options, CLEAN_PIXELS[1]}))
    counts = {**one.statement.counts, "blackened": len(set(boxes))}
    statement = replace(one.statement, options=options, counts=counts)
    return replace(one, data=data, transfer_syntax_uid=transfer_syntax, statement=statement)


def redact(part10: bytes, boxes: Sequence[Box]) -> bytes:
    """The object with every sample in `boxes` made black, marked as PS3.15 E.3.1 asks (Burned In Annotation is NO).

    Args:
        part10: a de-identified object.
        boxes: rows and columns of the image as stored; parts of a box that lie beyond the image are left out.

    Raises:
        Refused: the pixels can't be decoded, or aren't as the header says.
        ValueError: a box lies wholly outside of the image, or names a frame that isn't there.
    """
    return part10 if not boxes else _redact(part10, boxes)[0]


def _redact(part10: bytes, boxes: Sequence[Box]) -> tuple[bytes, str]:
    data, transfer_syntax = data_set_bytes(part10)
    implicit, big_endian = transfer_syntax == IMPLICIT, transfer_syntax == BIG_ENDIAN
    encoding = Encoding(implicit, big_endian)
    elements = Elements(ElementReader(data, encoding).data_set(0, len(data)), big_endian)
    if transfer_syntax not in NATIVE:
        _decompress(part10, elements, transfer_syntax)
        transfer_syntax = EXPLICIT
    _blacken(elements, boxes, big_endian)
    _mark(elements, len(set(boxes)))
    meta = file_meta(elements.text(0x00080016), elements.text(0x00080018), transfer_syntax)
    return meta + ElementWriter(encoding).data_set(elements.in_order()), transfer_syntax


def _blacken(elements: Elements, boxes: Sequence[Box], big_endian: bool) -> None:
    for tag, kind in ((PIXEL_DATA, ""), (0x7FE00008, "f4"), (0x7FE00009, "f8")):
        element = elements.get(tag)
        if element is not None and isinstance(element.value, bytes):
            layout = Layout.of(elements, element.vr, kind, big_endian)
            element.value = layout.blackened(element.value, boxes)
            return
    raise Refused(Reason.MALFORMED, "there is no pixel data to blacken; have the sender store the object again")


def _mark(elements: Elements, boxes: int) -> None:
    elements.drop(_ICON, *_OFFSETS, *_EXTREMES)
    elements.put(0x00280301, b"CS", b"NO")
    said = f"Burned-in text removed: {boxes} area{'s' if boxes != 1 else ''} set to black"
    elements.append_text(0x00082111, b"ST", said, "; ")
    elements.append_text(0x00120063, b"LO", CLEAN_PIXELS[1], "\\")
    codes = elements.get(0x00120064)
    items = codes.value if codes is not None and isinstance(codes.value, list) else []
    known = [
        e.value.strip(b" \0") for item in items for e in item if e.tag == 0x00080100 and isinstance(e.value, bytes)
    ]
    if CLEAN_PIXELS[0].encode() not in known:
        elements.put(0x00120064, b"SQ", [*items, code_item(*CLEAN_PIXELS)])


def _decompress(part10: bytes, elements: Elements, transfer_syntax: str) -> None:
    """Replace compressed pixel data by native ones, interleaved, with the attributes that describe them."""
    compressed = elements.get(PIXEL_DATA)
    size = len(compressed.value) if compressed is not None and isinstance(compressed.value, bytes) else 0
    frames: list[bytes] = []
    shape: tuple[int, ...] = ()
    photometric, itemsize, samples = "", 1, 1
    try:
        with warnings.catch_warnings():
            # pydicom's warnings may quote values, and nothing of an object may be logged.
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(BytesIO(part10))
            for array, meta in get_decoder(UID(transfer_syntax)).iter_array(dataset, raw=True):
                frames.append(_little(array).tobytes())
                shape, itemsize = array.shape, array.dtype.itemsize
                photometric, samples = str(meta["photometric_interpretation"]), int(meta["samples_per_pixel"])
    except DAMAGE:
        raise Refused(
            Reason.TEXT_IN_PIXELS, "the pixels must be blackened and can't be decoded; have them stored uncompressed"
        ) from None
    if not frames or shape[:2] != (elements.number(0x00280010), elements.number(0x00280011)):
        raise Refused(Reason.PIXEL_LENGTH, "the compressed picture isn't of the size that the header says")
    native = b"".join(frames)
    elements.put(PIXEL_DATA, b"OB" if itemsize == 1 else b"OW", native)
    elements.put(0x00280004, b"CS", photometric.encode())
    if samples > 1:
        elements.put(0x00280006, b"US", struct.pack("<H", 0))
    elements.put(0x00280100, b"US", struct.pack("<H", 8 * itemsize))
    method = _LOSSY.get(transfer_syntax)
    if method is not None:
        elements.put(0x00282110, b"CS", b"01")
        if not elements.text(0x00282112):
            elements.put(0x00282112, b"DS", f"{max(len(native) / max(size, 1), 1):.2f}".encode()[:16])
        if not elements.text(0x00282114):
            elements.put(0x00282114, b"CS", method.encode())


def _little(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)
