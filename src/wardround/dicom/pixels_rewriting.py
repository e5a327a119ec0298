"""Change pixels of a de-identified object: opened once, changed, marked, written.

Native pixel data stay in their transfer syntax; compressed ones are decoded and stored as Explicit VR Little Endian,
since encoding them once more could change what was to stay.
"""

from __future__ import annotations

import struct
import warnings
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from wardround.dicom.damage import DAMAGE
from wardround.dicom.deidentify_elements import PIXEL_DATA, ElementWriter
from wardround.dicom.deidentify_original import EXPLICIT, NATIVE, Original
from wardround.dicom.errors import Reason, Refused
from wardround.dicom.header_meta import file_meta
from wardround.dicom.pixels_decoding import decoder_for
from wardround.dicom.pixels_elements import Elements, code_item
from wardround.dicom.pixels_layout import Layout

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
# Smallest and largest values may have been those that went.
_EXTREMES = (0x00280106, 0x00280107, 0x00280108, 0x00280109)
_KINDS = {PIXEL_DATA: "", 0x7FE00008: "f4", 0x7FE00009: "f8"}


class Rewriting:
    """A de-identified object whose pixels are to change.

    `data` are the picture's bytes, native, in the form that `layout` says; set them, then `mark` and `part10`.

    Raises:
        Refused: the pixels can't be decoded, or aren't as the header says.
    """

    def __init__(self, part10: bytes) -> None:
        original = Original.read(part10)
        transfer_syntax, self._encoding = original.transfer_syntax, original.encoding
        self._elements = Elements(original.elements, self._encoding.big_endian)
        if transfer_syntax not in NATIVE:
            _decompress(part10, self._elements, transfer_syntax)
            transfer_syntax = EXPLICIT
        self.transfer_syntax = transfer_syntax
        element = next((found for tag in _KINDS if (found := self._elements.get(tag)) is not None), None)
        if element is None or not isinstance(element.value, bytes):
            raise Refused(Reason.MALFORMED, "there are no pixel data to change; have the sender store the object again")
        self._pixels = element
        self.layout = Layout.of(self._elements, element.vr, _KINDS[element.tag], self._encoding.big_endian)
        self.data = element.value

    def mark(self, tag: int, code: tuple[str, str], said: str) -> None:
        """Say in the object what was done: `tag` becomes NO, the option's code and a sentence are added once."""
        elements = self._elements
        elements.put(tag, b"CS", b"NO")
        elements.append_text(0x00082111, b"ST", said, "; ")
        elements.append_text(0x00120063, b"LO", code[1], "\\")
        codes = elements.get(0x00120064)
        items = codes.value if codes is not None and isinstance(codes.value, list) else []
        known = [
            e.value.strip(b" \0") for item in items for e in item if e.tag == 0x00080100 and isinstance(e.value, bytes)
        ]
        if code[0].encode() not in known:
            elements.put(0x00120064, b"SQ", [*items, code_item(*code)])

    def part10(self) -> bytes:
        """The changed object as a Part 10 file."""
        elements = self._elements
        elements.put(self._pixels.tag, self._pixels.vr, self.data)
        elements.drop(_ICON, *_OFFSETS, *_EXTREMES)
        meta = file_meta(elements.text(0x00080016), elements.text(0x00080018), self.transfer_syntax)
        return meta + ElementWriter(self._encoding).data_set(elements.in_order())


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
            plugin = decoder_for(transfer_syntax)
            decoder = get_decoder(UID(transfer_syntax))
            for array, meta in decoder.iter_array(dataset, raw=True, decoding_plugin=plugin):
                frames.append(_little(array).tobytes())
                shape, itemsize = array.shape, array.dtype.itemsize
                photometric, samples = str(meta["photometric_interpretation"]), int(meta["samples_per_pixel"])
    except DAMAGE:
        raise Refused(
            Reason.TEXT_IN_PIXELS, "the pixels must be changed and can't be decoded; have them stored uncompressed"
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
