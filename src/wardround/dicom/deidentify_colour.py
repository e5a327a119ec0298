"""ICC profiles (ICC.1:2022) without their texts: what the colours need stays, who made the device and when goes."""

from __future__ import annotations

import struct

_HEADER = 128
_LARGEST = 4 * 1024 * 1024
_NUMERIC = frozenset(
    {b"XYZ ", b"curv", b"para", b"mft1", b"mft2", b"mAB ", b"mBA ", b"sf32", b"uf32", b"chrm", b"meas", b"view"}
)
# Creation time, platform, flags, device manufacturer, model and attributes, creator, profile id: header fields that
# tell of the device and not of the colour (7.2.8, 7.2.11 to 7.2.18), by offset and length.
_TOLD = ((4, 4), (24, 12), (40, 24), (80, 48))


def clean_colour_profile(value: bytes) -> bytes | None:
    """``value`` with the header's facts of the device zeroed and every tag that isn't numbers blanked.

    None if it is no ICC profile, or holds bytes that belong to no tag.
    """
    profile = bytearray(value)
    if not _HEADER + 4 <= len(profile) <= _LARGEST or profile[36:40] != b"acsp":
        return None
    (size,) = struct.unpack_from(">L", profile, 0)
    if not 0 <= len(profile) - size <= 1:
        return None
    (count,) = struct.unpack_from(">L", profile, _HEADER)
    table_end = _HEADER + 4 + 12 * count
    if count > 100 or table_end > size:
        return None
    kept: list[tuple[int, int]] = []
    for at in range(_HEADER + 4, table_end, 12):
        offset, length = struct.unpack_from(">LL", profile, at + 4)
        if offset < table_end or offset + length > size or length < 8:
            return None
        if bytes(profile[offset : offset + 4]) in _NUMERIC:
            kept.append((offset, offset + length))
        else:
            # A text of no characters, in the place of the one that was there.
            profile[offset : offset + length] = b"text" + bytes(length - 4)
            kept.append((offset, offset + 8))
    blank = bytearray(len(profile))
    blank[:table_end] = profile[:table_end]
    for start, end in kept:
        blank[start:end] = profile[start:end]
    for offset, length in _TOLD:
        blank[offset : offset + length] = bytes(length)
    return bytes(blank)
