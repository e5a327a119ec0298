"""The few attributes of an object that say whether its pixels need looking at, read without decoding a pixel."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wardround.dicom.deidentify_elements import Element
from wardround.dicom.deidentify_original import BIG_ENDIAN, Original
from wardround.dicom.errors import Refused
from wardround.dicom.pixels_boxes import Box

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


def read_facts(part10: bytes | Original) -> PixelFacts:
    """The facts of a Part 10 file; of one that can't be read, `sound` is False."""
    try:
        original = part10 if isinstance(part10, Original) else Original.read(part10)
    except Refused:
        return PixelFacts(sound=False)
    return facts_of(original)


def facts_of(original: Original) -> PixelFacts:
    """The facts of an object that was read already."""
    elements, transfer_syntax = original.by_tag(), original.transfer_syntax
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
