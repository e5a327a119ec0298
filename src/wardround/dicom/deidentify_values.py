"""Whether a value has the form that its attribute takes, and what stands in for one that goes."""

from __future__ import annotations

import re
import struct

from wardround.dicom.deidentify_elements import DICTIONARY_COUNT, Element

TEXT_VRS = frozenset(
    {b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"LT", b"PN", b"SH", b"ST", b"TM", b"UC", b"UI", b"UR"}
    | {b"UT"}
)
SIZES = {b"US": 2, b"SS": 2, b"OW": 2, b"AT": 4, b"UL": 4, b"SL": 4, b"FL": 4, b"FD": 8, b"UV": 8, b"SV": 8}
_BYTE_SIZES = {b"OB": 1, b"UN": 1, b"OW": 2, b"OF": 4, b"OL": 4, b"OD": 8, b"OV": 8, **SIZES}
_DECIMAL = rb" *(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)? *)?"
_INTEGER = rb" *(?:[+-]?\d+ *)?"
FORMS = {
    b"CS": re.compile(rb"[A-Za-z0-9_ \\]*\0?$"),
    # Numbers, and not the signs of which they are made alone: those make UIDs too (PS3.5 section 6.2).
    b"DS": re.compile(rb"%b(?:\\%b)*\0?\Z" % (_DECIMAL, _DECIMAL)),
    b"IS": re.compile(rb"%b(?:\\%b)*\0?\Z" % (_INTEGER, _INTEGER)),
    b"UI": re.compile(rb"(?:[0-9.]{0,64}\\?)*[ \0]?$"),
}
TAG_FORMS = {0x00080201: re.compile(rb"(?:[+-]\d{4})? ?$")}
DUMMIES = {
    b"DA": b"19000101",
    b"DT": b"19000101000000",
    b"TM": b"000000",
    b"DS": b"0",
    b"IS": b"0",
    b"AS": b"000Y",
    b"UR": b"urn:removed",
    b"OB": b"\0\0",
    b"UN": b"\0\0",
    **{vr: bytes(size) for vr, size in SIZES.items() if vr != b"OW"},
    b"OW": b"\0\0",
    b"OF": bytes(4),
    b"OL": bytes(4),
    b"OD": bytes(8),
    b"OV": bytes(8),
}
"""What replaces a value that a valid object can't be without; text is replaced by ``REMOVED``."""


def dummy(vr: bytes) -> bytes:
    """A valid value of ``vr`` that says nothing."""
    return DUMMIES.get(vr, b"REMOVED" if vr in TEXT_VRS else b"")


def whole_numbers(tag: int, vr: bytes, value: bytes) -> bool:
    """Whether ``value`` is as many binary numbers as the attribute takes, or none."""
    size = SIZES.get(vr)
    if size is None or len(value) % size:
        return False
    count = DICTIONARY_COUNT.get(tag)
    return not value or count is None or len(value) == count * size


def whole_bytes(vr: bytes, value: bytes) -> bool:
    """Whether ``value`` is a whole number of the units of a VR of bytes."""
    return len(value) % _BYTE_SIZES.get(vr, 1) == 0


def roi_overlay_groups(elements: list[Element], order: str) -> frozenset[int]:
    """The overlay groups that hold a region of interest and not a bit more (PS3.3 C.9.2).

    Graphics (Overlay Type ``G``) may be text; a region is one bit per pixel.
    """
    groups: dict[int, dict[int, bytes]] = {}
    for element in elements:
        if element.tag >> 24 == 0x60 and isinstance(element.value, bytes):
            groups.setdefault(element.tag >> 16, {})[element.tag & 0xFFFF] = element.value
    found = set()
    for group, parts in groups.items():
        numbers = [parts.get(part, b"") for part in (0x0010, 0x0011)]
        frames = parts.get(0x0015, b"1").strip(b" \0") or b"1"
        if parts.get(0x0040, b"").strip(b" \0") != b"R" or any(len(one) != 2 for one in numbers):
            continue
        if not frames.isdigit() or len(frames) > 5:
            continue
        rows, columns = (struct.unpack(order + "H", one)[0] for one in numbers)
        length = (rows * columns * int(frames) + 7) // 8
        if len(parts.get(0x3000, b"")) == length + length % 2:
            found.add(group)
    return frozenset(found)
