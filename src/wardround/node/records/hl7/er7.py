"""HL7 version 2 messages in their vertical-bar form, taken apart.

Source: HL7 2.5.1, chapter 2: 2.6 (rules), 2.7 (escapes), 2.14.9 (MSH), table 0211 (character sets).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LARGEST_MESSAGE = 4 * 1024 * 1024
"""Bytes of one message, at most."""
MOST_SEGMENTS = 20_000
CHARACTER_SETS = {
    "": "utf-8",
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "ISO IR192": "utf-8",
    "GB 18030-2000": "gb18030",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}
"""Those of MSH-18 in which no byte below 128 means anything but ASCII."""
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_ENDS = re.compile(rb"\r\n|\r|\n")
_ESCAPE_LIMIT = 4096


class NotAMessage(Exception):
    """What isn't an HL7 v2 message; the text says why, in words of ours alone."""


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What MSH-1 and MSH-2 say: field, component, repetition, escape, subcomponent."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str

    def unescape(self, text: str) -> str:
        """`text` with its escapes undone; formatting is left out, an escape that isn't one stays as it is."""
        if self.escape not in text:
            return text
        plain = {"F": self.field, "S": self.component, "T": self.subcomponent, "R": self.repetition, "E": self.escape}
        pieces, at = [], 0
        while (start := text.find(self.escape, at)) >= 0:
            end = text.find(self.escape, start + 1, start + _ESCAPE_LIMIT)
            if end < 0:
                break
            pieces.append(text[at:start])
            said = text[start + 1 : end]
            at = end + 1
            if said in plain:
                pieces.append(plain[said])
            elif said[:1] == "X" and re.fullmatch(r"X([0-9A-Fa-f]{2})+", said):
                pieces.append(bytes.fromhex(said[1:]).decode("utf-8", "replace"))
            elif said[:1] == "." or said in ("H", "N"):
                pieces.append(" " if said[:1] == "." else "")
            elif said[:1] not in ("C", "M", "Z"):
                # No escape: the second character may begin one.
                pieces.append(self.escape + said)
                at = end
        return "".join(pieces) + text[at:]

    def escape_text(self, text: str) -> str:
        """`text` so that it can stand in a subcomponent."""
        table = {self.escape: "E", self.field: "F", self.component: "S", self.repetition: "R", self.subcomponent: "T"}
        escaped = "".join(f"{self.escape}{table[one]}{self.escape}" if one in table else one for one in text)
        return "".join(one if one >= " " else f"{self.escape}X{ord(one):02X}{self.escape}" for one in escaped)


@dataclass(frozen=True, slots=True)
class Field:
    """One repetition of a field."""

    text: str = field(repr=False)
    delimiters: Delimiters

    def __bool__(self) -> bool:
        return bool(self.text) and self.text != '""'

    def __getitem__(self, number: int) -> str:
        """Component `number`, from 1; of its subcomponents the first. Empty where there is none, or it is null."""
        return self.part(number, 1)

    def part(self, component: int, subcomponent: int) -> str:
        components = self.text.split(self.delimiters.component)
        if component > len(components):
            return ""
        parts = components[component - 1].split(self.delimiters.subcomponent)
        if subcomponent > len(parts) or parts[subcomponent - 1] == '""':
            return ""
        return self.delimiters.unescape(parts[subcomponent - 1]).strip()


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; its fields are numbered as the standard does, MSH's too."""

    name: str
    fields: tuple[str, ...] = field(repr=False)
    delimiters: Delimiters

    def all(self, number: int) -> list[Field]:
        """The repetitions of a field; none if it is empty."""
        text = self.fields[number - 1] if 0 < number <= len(self.fields) else ""
        return [Field(one, self.delimiters) for one in text.split(self.delimiters.repetition)] if text else []

    def __getitem__(self, number: int) -> Field:
        """The first repetition of a field, perhaps an empty one."""
        found = self.all(number)
        return found[0] if found else Field("", self.delimiters)


@dataclass(frozen=True, slots=True)
class Message:
    """A message, its MSH first."""

    segments: tuple[Segment, ...]

    @property
    def header(self) -> Segment:
        return self.segments[0]

    @property
    def delimiters(self) -> Delimiters:
        return self.header.delimiters

    @property
    def control_id(self) -> str:
        return self.header[10][1]

    @property
    def kind(self) -> tuple[str, str]:
        """Message code and trigger event (MSH-9), such as `ADT` and `A08`."""
        return self.header[9][1].upper(), self.header[9][2].upper()

    def first(self, name: str) -> Segment | None:
        return next((one for one in self.segments if one.name == name), None)

    def every(self, name: str) -> list[Segment]:
        return [one for one in self.segments if one.name == name]


def parse(raw: bytes) -> Message:
    """Take a message apart.

    Raises:
        NotAMessage: it doesn't begin with a whole MSH, is too large, or is in no character set that is known.
    """
    if len(raw) > LARGEST_MESSAGE:
        raise NotAMessage("too large")
    lines = [line for line in _ENDS.split(raw.strip(b"\r\n\x0b\x1c \t")) if line]
    if not lines or not lines[0].startswith(b"MSH"):
        raise NotAMessage("no MSH segment at the start")
    if len(lines) > MOST_SEGMENTS:
        raise NotAMessage("too many segments")
    delimiters = _delimiters(lines[0])
    said = lines[0].split(delimiters.field.encode())
    named = (
        said[17].split(delimiters.repetition.encode())[0].decode("latin-1").strip().upper() if len(said) > 17 else ""
    )
    if named not in CHARACTER_SETS:
        raise NotAMessage("MSH-18 names a character set that isn't known")
    texts = [line.decode(CHARACTER_SETS[named], "replace") for line in lines]
    segments = [_segment(text, delimiters) for text in texts]
    return Message(tuple(segments))


def _delimiters(line: bytes) -> Delimiters:
    try:
        text = line[3:9].decode("ascii")
    except UnicodeDecodeError:
        raise NotAMessage("MSH-1 or MSH-2 isn't ASCII") from None
    marks = text[:5]
    fit = len(set(marks)) == 5 and all("!" <= mark <= "~" and not mark.isalnum() and mark != '"' for mark in marks)
    # Version 2.7 adds a fifth character to MSH-2, for truncation.
    if not fit or text[5:6] not in (marks[0], "#"):
        raise NotAMessage("MSH-1 and MSH-2 aren't five different delimiters")
    return Delimiters(*marks)


def _segment(text: str, delimiters: Delimiters) -> Segment:
    fields = text.split(delimiters.field)
    name = fields[0].strip()
    if not _SEGMENT.fullmatch(name):
        raise NotAMessage("a segment has no name")
    # MSH-1 is the separator itself.
    given = (delimiters.field, *fields[1:]) if name == "MSH" else tuple(fields[1:])
    return Segment(name, tuple(given), delimiters)
