"""A data set's elements to change: by tag, written back in order of tag."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from wardround.dicom.deidentify_elements import Element


class Elements:
    """The top level of a data set. Values are bytes as they are encoded; `big_endian` says how numbers are."""

    def __init__(self, elements: Iterable[Element], big_endian: bool = False) -> None:
        self._elements = {element.tag: element for element in elements}
        self._order = ">" if big_endian else "<"

    def get(self, tag: int) -> Element | None:
        return self._elements.get(tag)

    def raw(self, tag: int) -> bytes:
        element = self._elements.get(tag)
        return element.value if element is not None and isinstance(element.value, bytes) else b""

    def text(self, tag: int) -> str:
        return self.raw(tag).decode("latin-1").strip(" \0")

    def number(self, tag: int) -> int | None:
        value = self.raw(tag)
        return int(struct.unpack(self._order + "H", value)[0]) if len(value) == 2 else None

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The values of an element of unsigned 16-bit numbers."""
        value = self.raw(tag)
        return struct.unpack(f"{self._order}{len(value) // 2}H", value[: len(value) // 2 * 2])

    def put(self, tag: int, vr: bytes, value: bytes | list[list[Element]]) -> None:
        """Set an element; a number's bytes are the caller's, little endian only where the data set is."""
        self._elements[tag] = Element(tag, vr, value)

    def append_text(self, tag: int, vr: bytes, said: str, between: str) -> None:
        """Add to a text, in the data set's own character set: `said` is ASCII. It is there once."""
        before = self.raw(tag).rstrip(b" \0")
        if said.encode("ascii") not in before:
            self.put(tag, vr, before + (between.encode() if before else b"") + said.encode("ascii"))

    def drop(self, *tags: int) -> None:
        for tag in tags:
            self._elements.pop(tag, None)

    def in_order(self) -> list[Element]:
        return sorted(self._elements.values(), key=lambda element: element.tag)


def code_item(value: str, meaning: str) -> list[Element]:
    """A code of the scheme DCM as a sequence item (PS3.3 section 8)."""
    return [
        Element(0x00080100, b"SH", value.encode()),
        Element(0x00080102, b"SH", b"DCM"),
        Element(0x00080104, b"LO", meaning.encode()),
    ]
