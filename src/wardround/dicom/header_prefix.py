"""Read a few attributes from the head of a data set, and no more of it than that takes.

For the front door, which sees each object once, in haste, and before anybody has checked it: what isn't wanted is
skipped by its length, and the work is bounded whatever the bytes say (PS3.5 section 7; deflated: A.5).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection

from wardround.dicom.deidentify_elements import (
    DICTIONARY_VR,
    ITEM,
    ITEM_END,
    LONG_VRS,
    MAX_DEPTH,
    PIXEL_DATA,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    malformed,
)

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

WINDOW = 64 * 1024
"""Bytes that are read at a time."""
MOST_WINDOWS = 256
MOST_ELEMENTS = 50_000
LONGEST_VALUE = 16 * 1024
"""A wanted value that is longer is left out, as if it weren't there."""
INFLATED = 1 << 20

_LITTLE, _BIG = (
    (struct.Struct(order + "HH2sH"), struct.Struct(order + "HHL"), struct.Struct(order + "L")) for order in "<>"
)

ReadAt = Callable[[int, int], bytes]
"""Up to so many bytes of the data set from a position on; none at its end."""


def read_prefix(read_at: ReadAt, transfer_syntax: str, wanted: Collection[int]) -> dict[int, tuple[bytes, bytes]]:
    """The value representation and the value, as it was sent, of each wanted tag at the top level.

    Reading ends at the last wanted tag, and before Pixel Data at the latest. A tag that isn't there, is a sequence,
    or holds more than `LONGEST_VALUE` bytes, is absent from the answer.

    Args:
        transfer_syntax: the UID; one that isn't known is read as Explicit VR Little Endian (PS3.5 section 10).

    Raises:
        Refused: the head isn't a data set in that transfer syntax, or takes too much work to read.
    """
    if transfer_syntax == DEFLATED_LITTLE:
        read_at = _inflated(read_at)
    return _PrefixReader(read_at, transfer_syntax, wanted).read()


def _inflated(read_at: ReadAt) -> ReadAt:
    """The beginning of a deflated data set; what comes after `INFLATED` bytes isn't there."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    size = pos = 0
    try:
        while size < INFLATED and not inflate.eof:
            piece = read_at(pos, WINDOW)
            if not piece:
                break
            pos += len(piece)
            part = inflate.decompress(piece, INFLATED - size)
            parts.append(part)
            size += len(part)
    except zlib.error:
        raise malformed("the data set can't be inflated") from None
    head = b"".join(parts)
    return lambda start, length: head[start : start + length]


class _PrefixReader:
    def __init__(self, read_at: ReadAt, transfer_syntax: str, wanted: Collection[int]) -> None:
        self._read_at = read_at
        self._wanted = frozenset(wanted)
        self._last = min(max(self._wanted, default=0), PIXEL_DATA - 1)
        self._implicit = transfer_syntax == IMPLICIT_LITTLE
        self._explicit, self._tag_length, self._length = _BIG if transfer_syntax == EXPLICIT_BIG else _LITTLE
        self._data, self._base = b"", 0
        self._windows = self._elements = 0

    def read(self) -> dict[int, tuple[bytes, bytes]]:
        found: dict[int, tuple[bytes, bytes]] = {}
        pos = 0
        while True:
            header = self._header(pos, self._implicit, at_end=True)
            if header is None:
                return found
            tag, vr, length, pos = header
            if tag > self._last:
                return found
            if length == UNDEFINED:
                pos = self._past_items(pos, self._implicit or vr == b"UN", 1)
                continue
            if tag in self._wanted and vr != b"SQ" and length <= LONGEST_VALUE and tag not in found:
                found[tag] = (vr, self._bytes(pos, length))
            pos += length

    def _bytes(self, pos: int, length: int) -> bytes:
        start = pos - self._base
        if start < 0 or start + length > len(self._data):
            self._load(pos, length)
            start = 0
            if length > len(self._data):
                raise malformed("an element is cut off")
        return self._data[start : start + length]

    def _load(self, pos: int, length: int) -> None:
        self._windows += 1
        if self._windows > MOST_WINDOWS:
            raise malformed("its header is too long")
        self._data, self._base = self._read_at(pos, max(length, WINDOW)), pos

    def _header(self, pos: int, implicit: bool, *, at_end: bool = False) -> tuple[int, bytes, int, int] | None:
        """Tag, value representation, length and the place of the value; None at the end, where that is allowed."""
        self._elements += 1
        if self._elements > MOST_ELEMENTS:
            raise malformed("its header has too many elements")
        start = pos - self._base
        if start < 0 or start + 12 > len(self._data):
            self._load(pos, 12)
            start = 0
            if len(self._data) < 8:
                if at_end and not self._data.strip(b"\0"):
                    return None
                raise malformed("an element is cut off")
        tag: int
        if not implicit:
            group, number, vr, length = self._explicit.unpack_from(self._data, start)
            tag = group << 16 | number
            if vr in SHORT_VRS and group != 0xFFFE:
                return tag, vr, length, pos + 8
        if implicit or group == 0xFFFE:
            group, number, length = self._tag_length.unpack_from(self._data, start)
            tag = group << 16 | number
            return tag, DICTIONARY_VR.get(tag, b"UN"), length, pos + 8
        if vr not in LONG_VRS:
            raise malformed("an element has an unknown value representation")
        if start + 12 > len(self._data):
            raise malformed("an element is cut off")
        (length,) = self._length.unpack_from(self._data, start + 8)
        return tag, vr, length, pos + 12

    def _past_items(self, pos: int, implicit: bool, depth: int) -> int:
        """Where the sequence, or the run of fragments, of undefined length ends whose value begins at `pos`."""
        if depth > MAX_DEPTH:
            raise malformed(f"sequences are nested more than {MAX_DEPTH} deep")
        while True:
            header = self._header(pos, implicit)
            tag, _, length, pos = header or (SEQUENCE_END, b"", 0, pos)
            if tag == SEQUENCE_END:
                return pos
            if tag != ITEM:
                raise malformed("a sequence holds something that is no item")
            pos = self._past_elements(pos, implicit, depth) if length == UNDEFINED else pos + length

    def _past_elements(self, pos: int, implicit: bool, depth: int) -> int:
        while True:
            header = self._header(pos, implicit)
            tag, vr, length, pos = header or (ITEM_END, b"", 0, pos)
            if tag == ITEM_END:
                return pos
            if length == UNDEFINED:
                pos = self._past_items(pos, implicit or vr == b"UN", depth + 1)
            else:
                pos += length
