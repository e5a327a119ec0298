"""What a rule of routing may look at: attributes of an object's head, and the association's two titles."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import StrEnum

from pydicom._dicom_dict import DicomDictionary

from wardround.dicom.deidentify_elements import PIXEL_DATA
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
_TAGS: dict[str, tuple[int, str]] = {entry[4]: (tag, entry[0]) for tag, entry in DicomDictionary.items() if entry[4]}

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
    kind = _KINDS.get(representation.split(" or ")[0])
    if kind is None:
        raise AttributeRefused(f"{keyword} ({representation}) holds nothing to compare; use another attribute")
    if tag >= PIXEL_DATA:
        raise AttributeRefused(f"{keyword} comes after the pixels and isn't read; use another attribute")
    return tag, kind


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
        if kind is Kind.NUMBER:
            return _numbers(representation, raw, self._order)
        return self._texts(representation, raw)

    def _texts(self, representation: bytes, raw: bytes) -> tuple[str, ...]:
        text = self._decoded(raw)
        parts = [text] if representation in _WHOLE else text.split("\\")
        return tuple(part for part in (part.strip(" \0") for part in parts) if part)

    def _decoded(self, raw: bytes) -> str:
        if raw.isascii():
            return raw.decode("ascii")
        from pydicom.charset import convert_encodings, decode_bytes

        _, terms = self._values.get(CHARACTER_SET, (b"", b""))
        try:
            encodings = convert_encodings([term.strip() for term in terms.decode("ascii").split("\\")])
            return decode_bytes(raw, encodings, set())
        except (LookupError, ValueError):
            return raw.decode("latin-1")


def _numbers(representation: bytes, raw: bytes, order: str) -> tuple[float, ...]:
    try:
        if representation in _BINARY:
            one = struct.Struct(order + _BINARY[representation])
            return tuple(float(value) for (value,) in one.iter_unpack(raw))
        return tuple(float(part) for part in raw.decode("ascii").strip(" \0").split("\\") if part.strip())
    except (struct.error, ValueError):
        return ()
