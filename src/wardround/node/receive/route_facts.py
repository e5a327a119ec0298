"""What a rule of routing may look at: attributes of an object's head, and the association's two titles."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from enum import StrEnum

from wardround.dicom.deidentify_elements import DICTIONARY_VR, PIXEL_DATA
from wardround.dicom.dictionary import ELEMENTS
from wardround.dicom.header_prefix import EXPLICIT_BIG

CALLED_TITLE = "called_title"
CALLING_TITLE = "calling_title"
TITLES = (CALLED_TITLE, CALLING_TITLE)
CHARACTER_SET = 0x00080005


class Kind(StrEnum):
    """How the values of an attribute compare."""

    TEXT = "text"
    NUMBER = "number"


_KINDS: dict[str, Kind] = dict.fromkeys(
    ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"), Kind.TEXT
) | dict.fromkeys(("DS", "IS", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"), Kind.NUMBER)
_BINARY = {b"FD": "d", b"FL": "f", b"SL": "l", b"SS": "h", b"SV": "q", b"UL": "L", b"US": "H", b"UV": "Q"}
# Texts in which a backslash is a character and no separator (PS3.5 section 6.2).
_WHOLE = frozenset({b"LT", b"ST", b"UR", b"UT"})
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", re.ASCII)
_TIME = re.compile(r"((?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d|60)?)?)(?:\.(\d{1,6}))?", re.ASCII)
_AGE = re.compile(r"(\d{3})([DWMY])", re.ASCII)
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
_BORDER = 0x00080000
_TAGS: dict[str, tuple[int, str]] = {entry[4]: (tag, entry[0]) for tag, entry in ELEMENTS.items() if entry[4]}

Value = str | float


class AttributeRefused(ValueError):
    """A name that a rule can't look at; says why and the mend."""


def attribute(keyword: str) -> tuple[int, Kind]:
    """The tag of a DICOM keyword (PS3.6) and how its values compare.

    Raises:
        AttributeRefused: there is no such keyword, or its values don't compare, or come after the pixels.
    """
    if keyword not in _TAGS:
        close = next((known for known in _TAGS if known.lower() == keyword.lower()), None)
        mend = f"did you mean {close}?" if close else "write it as in PS3.6, as in SeriesDescription"
        raise AttributeRefused(f"{keyword} is no DICOM keyword, nor {' or '.join(TITLES)}; {mend}")
    tag, representation = _TAGS[keyword]
    if tag < _BORDER:
        raise AttributeRefused(f"{keyword} is no part of the data set and isn't read; use another attribute")
    kind = _KINDS.get(representation)
    if kind is None:
        raise AttributeRefused(f"{keyword} ({representation}) holds nothing to compare; use another attribute")
    if tag >= PIXEL_DATA:
        raise AttributeRefused(f"{keyword} comes after the pixels and isn't read; use another attribute")
    return tag, kind


def in_order(name: str, value: Value) -> Value | None:
    """What stands for a value of an attribute where values are put in order; None where it has no place there.

    Numbers stand for themselves, dates (YYYYMMDD) and times too, an age for its days, of which a year has 365.25. A
    time or date-time that leaves out its smaller parts stands for its beginning; a date-time's offset from UTC isn't
    counted, so that clocks on the wall are compared (PS3.5 Table 6.2-1).
    """
    if not isinstance(value, str):
        return value
    match _TAGS[name][1] if name in _TAGS else "":
        case "AS":
            age = _AGE.fullmatch(value)
            return None if age is None else int(age[1]) * _DAYS[age[2]]
        case "DA":
            return value if _DATE.fullmatch(value) else None
        case "TM":
            return _clock(value)
        case "DT":
            local = re.sub(r"[+-]\d{4}$", "", value)
            date = local + "0101"[len(local) - 4 :] if len(local) in (4, 6) else local[:8]
            time = _clock(local[8:] or "00")
            return date + time if time is not None and _DATE.fullmatch(date) else None
        case _:
            return None


def has_order(name: str) -> bool:
    """Whether values of an attribute can be put in order."""
    return name in _TAGS and (attribute(name)[1] is Kind.NUMBER or _TAGS[name][1] in EXAMPLES)


EXAMPLES = {"AS": "018Y", "DA": "20260131", "TM": "093000", "DT": "20260131093000"}
"""How values of the representations of texts that have an order are written."""


def example(name: str) -> str | None:
    """How values of an attribute are written, where that is fixed and they have an order."""
    return EXAMPLES.get(_TAGS[name][1]) if name in _TAGS else None


def _clock(text: str) -> str | None:
    time = _TIME.fullmatch(text)
    if time is None or (time[2] and len(time[1]) < 6):
        return None
    return time[1].ljust(6, "0") + (time[2] or "").ljust(6, "0")


class Facts:
    """The values of one object that rules look at.

    Args:
        values: from `wardround.dicom.header_prefix.read_prefix`.
    """

    def __init__(
        self,
        values: Mapping[int, tuple[bytes, bytes]],
        *,
        transfer_syntax: str = "",
        called_title: str = "",
        calling_title: str = "",
    ) -> None:
        self._values = values
        self._order = ">" if transfer_syntax == EXPLICIT_BIG else "<"
        self._titles = {CALLED_TITLE: called_title.strip(), CALLING_TITLE: calling_title.strip()}

    def values(self, name: str) -> tuple[Value, ...]:
        """The values of an attribute or a title, padding removed; none where it is absent, empty or unreadable."""
        if name in self._titles:
            return (self._titles[name],) if self._titles[name] else ()
        tag, kind = attribute(name)
        if tag not in self._values:
            return ()
        representation, raw = self._values[tag]
        order = self._order
        if representation == b"UN":  # written by somebody who didn't know it, as if implicit (PS3.5 section 6.2.2)
            representation, order = DICTIONARY_VR.get(tag, representation), "<"
        if kind is Kind.NUMBER:
            return _numbers(representation, raw, order)
        return self._texts(representation, raw)

    def _texts(self, representation: bytes, raw: bytes) -> tuple[str, ...]:
        text = self._decoded(raw)
        parts = [text] if representation in _WHOLE else text.split("\\")
        return tuple(part for part in (part.strip(" \0") for part in parts) if part)

    def _decoded(self, raw: bytes) -> str:
        if raw.isascii() and b"\x1b" not in raw:  # escape sequences of ISO 2022 are ASCII too
            return raw.decode("ascii")
        from pydicom.charset import convert_encodings, decode_bytes

        _, terms = self._values.get(CHARACTER_SET, (b"", b""))
        try:
            encodings = convert_encodings([term.strip() for term in terms.decode("ascii").split("\\")])
            return decode_bytes(raw, encodings, set())
        except (LookupError, ValueError):
            return raw.decode("latin-1")


def _numbers(representation: bytes, raw: bytes, order: str) -> tuple[float, ...]:
    if representation in _BINARY:
        try:
            found = [float(value) for (value,) in struct.iter_unpack(order + _BINARY[representation], raw)]
        except struct.error:
            return ()
    else:
        parts = [part.strip(" \0") for part in raw.decode("latin-1").split("\\")]
        if not all(_DECIMAL.fullmatch(part) for part in parts if part):
            return ()
        found = [float(part) for part in parts if part]
    return tuple(found) if all(map(math.isfinite, found)) else ()
