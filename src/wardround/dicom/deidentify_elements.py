"""Read and write the data elements of a DICOM data set as bytes, without decoding a value.

Implements PS3.5 section 7 (data element structure, sequences, UN of known length as implicit VR: 6.2.2) for
de-identification: each byte of the input lands in exactly one element, or reading stops with
:class:`~wardround.dicom.errors.Refused`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wardround.dicom.dictionary import ELEMENTS, REPEATING_ELEMENTS
from wardround.dicom.errors import Reason, Refused

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"}
    | {b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)
MAX_DEPTH = 24

OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
# Overlays have a plane in each of sixteen groups (PS3.5 7.6).
_OVERLAYS = {
    group << 16 | int(mask[4:], 16): entry[0]
    for group in OVERLAY_GROUPS
    for mask, entry in REPEATING_ELEMENTS.items()
    if mask.startswith("60xx") and entry[0] != "NONE"
}
_VRS = {tag: entry[0] for tag, entry in ELEMENTS.items() if entry[0] != "NONE"} | _OVERLAYS
# One object for all elements of the same: a receiving process has little else in its memory.
_FIRST = {vrs: vrs[:2].encode() for vrs in set(_VRS.values())}
_ALLOWED = {vrs: frozenset(vr.encode() for vr in vrs.split(" or ")) for vrs in _FIRST}
DICTIONARY_VR: dict[int, bytes] = {tag: _FIRST[vrs] for tag, vrs in _VRS.items()}
# All that the dictionary allows, for "US or SS" and its like.
DICTIONARY_VRS: dict[int, frozenset[bytes]] = {tag: _ALLOWED[vrs] for tag, vrs in _VRS.items()}
# How many values an attribute has, where that is one number.
DICTIONARY_COUNT: dict[int, int] = {tag: int(entry[1]) for tag, entry in ELEMENTS.items() if entry[1].isdigit()}


@dataclass(slots=True)
class Element:
    """One data element. ``value`` is its bytes, or its items if it is a sequence.

    ``encapsulated`` marks compressed Pixel Data, whose value is the fragments with their item headers, up to and
    with the sequence delimiter (PS3.5 A.4).
    """

    tag: int
    vr: bytes
    value: bytes | list[list[Element]]
    encapsulated: bool = False


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the elements of a data set are written."""

    implicit: bool
    big_endian: bool = False


def malformed(what: str) -> Refused:
    """The refusal of a data set that breaks PS3.5; ``what`` names a rule, never a value."""
    return Refused(Reason.MALFORMED, f"{what}; have the sender store the object again")


class ElementReader:
    """Reads data sets out of one buffer."""

    def __init__(self, data: bytes, encoding: Encoding) -> None:
        self._data = data
        self._implicit = encoding.implicit
        order = ">" if encoding.big_endian else "<"
        self._tag = struct.Struct(order + "HH")
        self._explicit = struct.Struct(order + "HH2sH")
        self._length = struct.Struct(order + "L")
        self._tag_length = struct.Struct(order + "HHL")
        self._order = order

    def data_set(self, start: int, end: int) -> list[Element]:
        """The elements in ``data[start:end]``, in strictly ascending order of tag.

        Raises:
            Refused: a length goes past its parent, a VR is unknown, tags are repeated or out of order.
        """
        elements, stop = self._elements(start, end, 0, False, self._implicit)
        if stop != end:
            raise malformed("bytes are left after the data set")
        return elements

    def file_meta(self, start: int) -> tuple[list[Element], int]:
        """The file meta information that starts at ``start``, and where the data set begins (PS3.10 7.1)."""
        found: list[Element] = []
        pos, end = start, len(self._data)
        while end - pos >= 8 and self._data[pos : pos + 2] == b"\x02\0":
            _, number, vr, length = self._explicit.unpack_from(self._data, pos)
            pos += 8
            if vr in LONG_VRS:
                if end - pos < 4:
                    raise malformed("the file meta information is cut off")
                (length,) = self._length.unpack_from(self._data, pos)
                pos += 4
            elif vr not in SHORT_VRS:
                raise malformed("the file meta information has an unknown value representation")
            if length > end - pos:
                raise malformed("the file meta information is cut off")
            found.append(Element(0x00020000 | number, vr, self._data[pos : pos + length]))
            pos += length
        return found, pos

    def _elements(self, pos: int, end: int, depth: int, delimited: bool, implicit: bool) -> tuple[list[Element], int]:
        if depth > MAX_DEPTH:
            raise malformed(f"sequences are nested more than {MAX_DEPTH} deep")
        data, last = self._data, -1
        found: list[Element] = []
        while pos < end:
            if end - pos < 8:
                # Some writers pad the file with zeros.
                if depth == 0 and not data[pos:end].strip(b"\0"):
                    return found, end
                raise malformed("an element is cut off")
            if implicit:
                group, element, length = self._tag_length.unpack_from(data, pos)
                tag = group << 16 | element
                vr = DICTIONARY_VR.get(tag, b"UN")
                pos += 8
            else:
                group, element, vr, length = self._explicit.unpack_from(data, pos)
                tag = group << 16 | element
                pos += 8
                if group == 0xFFFE and tag in (ITEM, ITEM_END, SEQUENCE_END):
                    vr = b"UN"
                    (length,) = self._length.unpack_from(data, pos - 4)
                elif vr in LONG_VRS:
                    if end - pos < 4:
                        raise malformed("an element is cut off")
                    (length,) = self._length.unpack_from(data, pos)
                    pos += 4
                elif vr not in SHORT_VRS:
                    raise malformed("an element has an unknown value representation")
            if tag == ITEM_END and delimited:
                return found, pos
            if tag <= last:
                raise malformed("elements are repeated or not in ascending order")
            last = tag
            item, pos = self._value(tag, vr, length, pos, end, depth, implicit)
            found.append(item)
        if delimited:
            raise malformed("an item has no end")
        return found, pos

    def _value(
        self, tag: int, vr: bytes, length: int, pos: int, end: int, depth: int, implicit: bool
    ) -> tuple[Element, int]:
        if length == UNDEFINED:
            if tag == PIXEL_DATA:
                stop = self._fragments(pos, end)
                return Element(tag, vr, self._data[pos:stop], True), stop
            if vr not in (b"SQ", b"UN"):
                raise malformed("an element that is no sequence has no length")
        elif length > end - pos:
            raise malformed("an element is longer than what holds it")
        unknown = vr == b"UN" and (length == UNDEFINED or DICTIONARY_VR.get(tag) == b"SQ")
        if vr == b"SQ" or unknown:
            # UN holds its items in Implicit VR Little Endian, whatever the data set is in (PS3.5 6.2.2 note 2).
            if unknown and self._order == ">":
                raise malformed("a big endian data set holds a sequence of unknown representation")
            items, pos = self._items(pos, end, length, depth, implicit or unknown)
            return Element(tag, b"SQ", items), pos
        return Element(tag, vr, self._data[pos : pos + length]), pos + length

    def _items(self, pos: int, end: int, length: int, depth: int, implicit: bool) -> tuple[list[list[Element]], int]:
        stop = end if length == UNDEFINED else pos + length
        items: list[list[Element]] = []
        while length == UNDEFINED or pos < stop:
            if stop - pos < 8:
                raise malformed("a sequence is cut off")
            group, element, size = self._tag_length.unpack_from(self._data, pos)
            tag = group << 16 | element
            pos += 8
            if tag == SEQUENCE_END and length == UNDEFINED:
                break
            if tag != ITEM:
                raise malformed("a sequence holds something that is no item")
            if size == UNDEFINED:
                item, pos = self._elements(pos, stop, depth + 1, True, implicit)
            elif size > stop - pos:
                raise malformed("an item is longer than its sequence")
            else:
                item, pos = self._elements(pos, pos + size, depth + 1, False, implicit)
            items.append(item)
        return items, pos

    def _fragments(self, pos: int, end: int) -> int:
        while end - pos >= 8:
            group, element, size = self._tag_length.unpack_from(self._data, pos)
            pos += 8
            tag = group << 16 | element
            if tag == SEQUENCE_END and size == 0:
                return pos
            if tag != ITEM or size > end - pos:
                break
            pos += size
        raise malformed("the compressed pixel data are cut off")


class ElementWriter:
    """Writes data sets; sequences and items get defined lengths."""

    def __init__(self, encoding: Encoding) -> None:
        order = ">" if encoding.big_endian else "<"
        self._implicit = encoding.implicit
        self._tag_length = struct.Struct(order + "HHL")
        self._short = struct.Struct(order + "HH2sH")
        self._long = struct.Struct(order + "HH2sHL")

    def data_set(self, elements: list[Element]) -> bytes:
        """``elements`` as bytes, in the order given.

        Raises:
            Refused: a value is too long for its value representation.
        """
        parts: list[bytes] = []
        for element in elements:
            value = element.value
            raw = value if isinstance(value, bytes) else self._sequence(value)
            self._header(parts, element, len(raw))
            parts.append(raw)
            if len(raw) & 1:
                parts.append(b"\0" if element.vr in _PADDED_WITH_NULL else b" ")
        return b"".join(parts)

    def _header(self, parts: list[bytes], element: Element, length: int) -> None:
        group, number = element.tag >> 16, element.tag & 0xFFFF
        length += length & 1
        size = UNDEFINED if element.encapsulated else length
        if self._implicit:
            parts.append(self._tag_length.pack(group, number, size))
        elif element.vr in LONG_VRS:
            parts.append(self._long.pack(group, number, element.vr, 0, size))
        elif length <= 0xFFFE:
            parts.append(self._short.pack(group, number, element.vr, length))
        else:
            raise Refused(Reason.TOO_LARGE, "a value is too long for its value representation")

    def _sequence(self, items: list[list[Element]]) -> bytes:
        parts: list[bytes] = []
        for item in items:
            raw = self.data_set(item)
            parts += (self._tag_length.pack(0xFFFE, 0xE000, len(raw)), raw)
        return b"".join(parts)


_PADDED_WITH_NULL = frozenset({b"UI", b"OB", b"UN"})
