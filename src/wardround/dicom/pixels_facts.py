"""The few attributes of an object that say whether its pixels need looking at, read without decoding a pixel."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from wardround.dicom.deidentify_elements import Element, ElementReader, Encoding
from wardround.dicom.errors import Refused
from wardround.dicom.header_meta import read_file_meta
from wardround.dicom.pixels_boxes import Box

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
_LARGEST_INFLATED = 2**31
_PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_REGIONS = 0x00186011
_REGION_EDGES = (0x0018601A, 0x00186018, 0x0018601E, 0x0018601C)


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """What the header says of the picture.

    sound: the object could be read as a data set at all. has_pixels: there is Pixel Data, or it can't be told.
    image_type: the values of Image Type in capitals. regions: the calibrated image areas of an ultrasound object
    (Sequence of Ultrasound Regions, PS3.3 C.8.5.5). Text is as it stands, in capitals where DICOM has code strings.
    """

    sound: bool = True
    has_pixels: bool = True
    transfer_syntax: str = ""
    sop_class: str = ""
    modality: str = ""
    image_type: tuple[str, ...] = ()
    burned_in: str = ""
    recognisable: str = ""
    manufacturer: str = ""
    model: str = ""
    body_part: str = ""
    rows: int = 0
    columns: int = 0
    frames: int = 1
    samples: int = 1
    photometric: str = ""
    regions: tuple[Box, ...] = ()


def read_facts(part10: bytes) -> PixelFacts:
    """The facts of a Part 10 file; of one that can't be read, `sound` is False."""
    try:
        elements, transfer_syntax = read_elements(part10)
    except (Refused, zlib.error):
        return PixelFacts(sound=False)
    return facts_of(elements, transfer_syntax)


def read_elements(part10: bytes) -> tuple[dict[int, Element], str]:
    """The elements of a Part 10 file's top level by tag, and the transfer syntax that they are in.

    Raises:
        Refused: it is no Part 10 file, or breaks PS3.5.
        zlib.error: it can't be inflated, or to more than 2 GiB.
    """
    data, transfer_syntax = data_set_bytes(part10)
    encoding = Encoding(transfer_syntax == IMPLICIT, transfer_syntax == BIG_ENDIAN)
    return {element.tag: element for element in ElementReader(data, encoding).data_set(0, len(data))}, transfer_syntax


def facts_of(elements: dict[int, Element], transfer_syntax: str) -> PixelFacts:
    """The facts of an object whose elements were read already."""
    header = _Header(elements, ">" if transfer_syntax == BIG_ENDIAN else "<")
    return PixelFacts(
        has_pixels=any(tag in elements for tag in _PIXELS),
        transfer_syntax=transfer_syntax,
        sop_class=header.text(0x00080016),
        modality=header.text(0x00080060).upper(),
        image_type=tuple(value.strip().upper() for value in header.text(0x00080008).split("\\") if value.strip()),
        burned_in=header.text(0x00280301).upper(),
        recognisable=header.text(0x00280302).upper(),
        manufacturer=header.text(0x00080070),
        model=header.text(0x00081090),
        body_part=header.text(0x00180015).upper(),
        rows=header.number(0x00280010),
        columns=header.number(0x00280011),
        frames=header.count(0x00280008),
        samples=header.number(0x00280002) or 1,
        photometric=header.text(0x00280004).upper(),
        regions=header.regions(),
    )


def data_set_bytes(part10: bytes) -> tuple[bytes, str]:
    """The data set of a Part 10 file, inflated where it was deflated (then as Explicit VR), and its transfer syntax.

    Raises:
        Refused: it is no Part 10 file.
        zlib.error: it can't be inflated, or to more than 2 GiB.
    """
    meta, start = read_file_meta(part10)
    transfer_syntax = meta.get(0x00020010, "")
    if transfer_syntax != DEFLATED:
        return part10[start:], transfer_syntax
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(part10[start:], _LARGEST_INFLATED)
    if inflater.unconsumed_tail or not inflater.eof:
        raise zlib.error("cut off or too large")
    return data, EXPLICIT


class _Header:
    def __init__(self, elements: dict[int, Element], order: str) -> None:
        self._elements = elements
        self._order = order

    def _raw(self, tag: int) -> bytes:
        element = self._elements.get(tag)
        return element.value if element is not None and isinstance(element.value, bytes) else b""

    def text(self, tag: int) -> str:
        return self._raw(tag).decode("latin-1").strip(" \0")

    def number(self, tag: int) -> int:
        value = self._raw(tag)
        return int(struct.unpack(self._order + "H", value)[0]) if len(value) == 2 else 0

    def count(self, tag: int) -> int:
        text = self.text(tag)
        return max(int(text), 1) if text.isdecimal() and len(text) < 8 else 1

    def regions(self) -> tuple[Box, ...]:
        sequence = self._elements.get(_REGIONS)
        if sequence is None or isinstance(sequence.value, bytes):
            return ()
        found: list[Box] = []
        for item in sequence.value:
            edges = {e.tag: e.value for e in item if e.tag in _REGION_EDGES}
            values = [edges.get(tag) for tag in _REGION_EDGES]
            numbers = [struct.unpack(self._order + "l", v)[0] for v in values if isinstance(v, bytes) and len(v) == 4]
            if len(numbers) != 4:
                return ()
            # The edges are inside of the region, counted from 0 (PS3.3 C.8.5.5.1.3 and following).
            top, left, bottom, right = numbers
            if not (0 <= top <= bottom and 0 <= left <= right):
                return ()
            found.append(Box(top, left, bottom - top + 1, right - left + 1))
        return tuple(found)
