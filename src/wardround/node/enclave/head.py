"""Reads the few attributes that the index keeps, without decoding the rest of an object.

Implements the part of PS3.5 section 7 that finds an element by its tag: explicit and implicit VR, little and big
endian, defined lengths. The de-identifier writes nothing else, but for compressed pixel data, where reading stops.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Sequence

from pydicom.charset import convert_encodings, decode_bytes, python_encoding

from wardround.dicom.deidentify_elements import DICTIONARY_VR, ITEM, LONG_VRS, UNDEFINED
from wardround.dicom.header_meta import read_file_meta

_IMPLICIT = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_CHARSET = 0x00080005
_FIRST_PIXELS = 0x7FE00001
_TRANSFER_SYNTAX = 0x00020010
_NUMBERS = {b"US": "H", b"SS": "h", b"UL": "L", b"SL": "l", b"FL": "f", b"FD": "d", b"UV": "Q", b"SV": "q"}


class Unreadable(ValueError):
    """The bytes break PS3.5, or are of an object that this program didn't write."""


class Head:
    """The elements before the pixels of a data set, or of an item of a sequence, by tag.

    Raises, from all of it: `Unreadable`.
    """

    def __init__(self, data: bytes, start: int, end: int, *, implicit: bool, order: str) -> None:
        self._data = data
        self._implicit = implicit
        self._order = order
        self._places: dict[int, tuple[bytes, int, int]] = {}
        self._scan(start, end)

    def _scan(self, pos: int, end: int) -> None:
        data, implicit = self._data, self._implicit
        explicit_head = struct.Struct(self._order + "HH2sH").unpack_from
        implicit_head = struct.Struct(self._order + "HHL").unpack_from
        long_length = struct.Struct(self._order + "L").unpack_from
        while end - pos >= 8:
            if implicit:
                group, number, length = implicit_head(data, pos)
                tag = group << 16 | number
                vr = DICTIONARY_VR.get(tag, b"UN")
                pos += 8
            else:
                group, number, vr, length = explicit_head(data, pos)
                tag = group << 16 | number
                pos += 8
                if vr in LONG_VRS:
                    if end - pos < 4:
                        raise Unreadable("an element is cut off")
                    (length,) = long_length(data, pos)
                    pos += 4
            if tag >= _FIRST_PIXELS:
                return
            if length == UNDEFINED or length > end - pos:
                raise Unreadable("an element has no length, or ends after what holds it")
            self._places[tag] = (vr, pos, pos + length)
            pos += length

    def has(self, tag: int) -> bool:
        return tag in self._places

    def raw(self, tag: int) -> bytes:
        place = self._places.get(tag)
        return self._data[place[1] : place[2]] if place else b""

    def texts(self, tag: int) -> tuple[str, ...]:
        """The values of a text attribute, without padding; none where it is absent or empty."""
        raw = self.raw(tag).strip(b" \0")
        if not raw:
            return ()
        return tuple(value.strip(" \0") for value in self._decoded(raw).split("\\"))

    def text(self, tag: int) -> str | None:
        """The value of a text attribute; None where it is absent, empty or has several values."""
        values = self.texts(tag)
        return values[0] or None if len(values) == 1 else None

    def integer(self, tag: int) -> int | None:
        numbers = self.numbers(tag, 1)
        return int(numbers[0]) if numbers else None

    def numbers(self, tag: int, count: int) -> tuple[float, ...] | None:
        """Exactly `count` finite numbers, from text (DS, IS) or binary; None for anything else."""
        place = self._places.get(tag)
        if place is None:
            return None
        form = _NUMBERS.get(place[0])
        if form is None:
            try:
                values = tuple(float(part) for part in self.texts(tag))
            except ValueError:
                return None
        else:
            size = struct.calcsize("<" + form)
            if place[2] - place[1] != count * size:
                return None
            values = tuple(map(float, struct.unpack_from(f"{self._order}{count}{form}", self._data, place[1])))
        return values if len(values) == count and all(map(math.isfinite, values)) else None

    def items(self, tag: int, most: int = 1) -> list[Head]:
        """The first `most` items of a sequence."""
        place = self._places.get(tag)
        if place is None or place[0] not in (b"SQ", b"UN"):
            return []
        implicit = self._implicit or place[0] == b"UN"
        head = struct.Struct(self._order + "HHL").unpack_from
        pos, end = place[1], place[2]
        found: list[Head] = []
        while end - pos >= 8 and len(found) < most:
            group, number, length = head(self._data, pos)
            pos += 8
            if group << 16 | number != ITEM or length > end - pos:
                raise Unreadable("a sequence holds something that is no item of a known length")
            found.append(Head(self._data, pos, pos + length, implicit=implicit, order=self._order))
            pos += length
        return found

    def _decoded(self, raw: bytes) -> str:
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode("ascii")
        terms = [term.strip() for term in self.raw(_CHARSET).strip(b" \0").decode("latin-1").split("\\")]
        if not all(term in python_encoding for term in terms):
            return raw.decode("latin-1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return decode_bytes(raw, convert_encodings(terms), {0x5C})
            except (LookupError, UnicodeError, ValueError):
                return raw.decode("latin-1")


def read_head(data: bytes) -> tuple[Head, str]:
    """The head of a de-identified Part 10 file, and its transfer syntax.

    Raises:
        Unreadable: see `Head`.
        wardround.dicom.errors.Refused: it has no file meta information.
    """
    meta, start = read_file_meta(data)
    syntax = meta.get(_TRANSFER_SYNTAX, "")
    order = ">" if syntax == _BIG_ENDIAN else "<"
    return Head(data, start, len(data), implicit=syntax == _IMPLICIT, order=order), syntax


def first_of(heads: Sequence[Head], tag: int, count: int) -> tuple[float, ...] | None:
    """The numbers of `tag` in the first of `heads` that has them."""
    return next((found for head in heads if (found := head.numbers(tag, count)) is not None), None)
