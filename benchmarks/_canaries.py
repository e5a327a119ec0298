"""A canary in every attribute of PS3.15 Table E.1-1, and whether it is still there afterwards.

Each place has a value of its own, valid for its value representation. What is long enough to be no chance is looked
for anywhere in the result; a date, a time, a number or a code at its own place, where it mustn't be what it was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO

import pydicom
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag

from wardround.dicom.confidentiality import Action, Profile, confidentiality_table, rules

OUTER, INNER = 0x00189112, 0x00082220
"""Sequences that the table doesn't name: what is in the second lies two levels down."""
# The character set says how to read the rest; groups 0, 2 and 4 belong to messages, files and directories.
_NO_PLACE = ("0000", "0002", "0004", "fffe", "00080005")
_KEPT = (Action.KEEP, Action.KEEP_TEXT, Action.TIME, Action.AGE, Action.KEEP_BYTES, Action.KEEP_BYTES_ANYWHERE)
_NUMBERS = {"US": "<H", "SS": "<h", "UL": "<L", "SL": "<l", "FL": "<f", "FD": "<d", "UV": "<Q", "SV": "<q"}
_BYTES = {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}
One = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Canary:
    """A value at a place: `depth` 0 (top), 1 or 2; `traces` are what of it may be found nowhere, none where only its
    own place counts."""

    tag: int
    vr: str
    depth: int
    value: bytes
    traces: tuple[bytes, ...]


@dataclass(frozen=True)
class Score:
    """leaked, of `places`; unusable: places whose canary, alone in an object, was answered with no object."""

    places: int
    leaked: int
    unusable: int

    def told(self) -> str:
        return f"{self.leaked}" + (f" (+{self.unusable} failed)" if self.unusable else "")


def kept_by_rule(profile: Profile) -> list[str]:
    """Attributes of the table whose value the profile keeps, by keyword."""
    table = rules(profile)
    return sorted(keyword_for_tag(tag) or f"{tag:08x}" for tag in _tags() if table.action(tag) in _KEPT)


def canaries(profile: Profile, depths: Iterable[int]) -> list[Canary]:
    """One for each attribute of the table that the profile doesn't keep by rule, at each depth."""
    table = rules(profile)
    return [
        _canary(at, tag, depth) for depth in depths for at, tag in enumerate(_tags()) if table.action(tag) not in _KEPT
    ]


def score(one: One, plain: bytes, planted: Sequence[Canary]) -> Score:
    """How many canaries a de-identifier lets through; where it fails, with half of them each, down to one."""
    leaked = unusable = 0
    waiting = [list(planted)]
    while waiting:
        some = waiting.pop()
        try:
            after = one(with_canaries(plain, some))
        except Exception:
            # A peer may raise whatever it likes.
            if len(some) == 1:
                unusable += 1
            else:
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
            continue
        levels = _levels(after)
        leaked += sum(_there(canary, after, levels[canary.depth]) for canary in some)
    return Score(len(planted), leaked, unusable)


def with_canaries(plain: bytes, planted: Sequence[Canary]) -> bytes:
    levels = [pydicom.dcmread(BytesIO(plain)), Dataset(), Dataset()]
    for canary in planted:
        into = levels[canary.depth]
        if canary.vr == "SQ":
            item = Dataset()
            item[0x00104000] = _raw(0x00104000, "LT", canary.value)
            into[canary.tag] = pydicom.DataElement(canary.tag, "SQ", [item])
        else:
            into[canary.tag] = _raw(canary.tag, canary.vr, canary.value)
    if any(canary.depth for canary in planted):
        levels[1][INNER] = pydicom.DataElement(INNER, "SQ", [levels[2]])
        levels[0][OUTER] = pydicom.DataElement(OUTER, "SQ", [levels[1]])
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, levels[0])
    return buffer.getvalue()


def _tags() -> list[int]:
    # Of a whole group, the curves', the data; its first element would be the group's length.
    patterns = (each.replace("50xxxxxx", "50xx3000") for each in confidentiality_table() if each != "private")
    return [int(pattern.replace("x", "0"), 16) for pattern in patterns if not pattern.startswith(_NO_PLACE)]


def _canary(at: int, tag: int, depth: int) -> Canary:
    vr = DicomDictionary[tag][0].split(" ")[0] if tag in DicomDictionary else "LO"
    mark = b"KANARIE%s%04dN" % (b"TMI"[depth : depth + 1], at)
    number = at * 3 + depth
    if vr == "PN":
        parts = tuple(mark + end for end in (b"A", b"I", b"P"))
        return Canary(tag, vr, depth, b"=".join(part + b"^" + part[::-1] for part in parts), (*parts,))
    if vr == "UI":
        value = b"1.2.999.777%05d7" % number
        return Canary(tag, vr, depth, value, (value,))
    if vr in _NUMBERS:
        value = struct.pack(_NUMBERS[vr], number + 20_000)
        return Canary(tag, vr, depth, value, ())
    day = (date(1931, 1, 1) + timedelta(days=7 * number)).strftime("%Y%m%d").encode()
    own_place = {
        "DA": day,
        "DT": day + b"112233.%06d" % number,
        "TM": b"1122%02d.%06d" % (number % 60, number),
        "AS": b"%03dY" % (20 + number % 60),
        "AT": struct.pack("<HH", 0x4711, number),
        "IS": b"4711%05d" % number,
        "DS": b"4711.%05d" % number,
        "CS": b"KANARIE_%05d" % number,
    }
    if vr in own_place:
        value = own_place[vr]
        return Canary(tag, vr, depth, value, (value,) if vr in ("IS", "DS", "CS") else ())
    return Canary(tag, vr, depth, mark, (mark,))


def _raw(tag: int, vr: str, value: bytes) -> RawDataElement:
    value += (b"\0" if vr in _BYTES or vr == "UI" else b" ") * (len(value) % 2)
    return RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)


def _levels(data: bytes) -> list[Dataset]:
    top = pydicom.dcmread(BytesIO(data), force=True)
    levels = [top]
    for tag in (OUTER, INNER):
        items = levels[-1][tag].value if tag in levels[-1] else None
        levels.append(items[0] if isinstance(items, Items) and items else Dataset())
    return levels


def _there(canary: Canary, after: bytes, level: Dataset) -> bool:
    if canary.vr == "SQ" or canary.traces:
        return any(trace in after for trace in canary.traces or (canary.value,))
    element = level.get_item(canary.tag) if canary.tag in level else None
    value = getattr(element, "value", None)
    return isinstance(value, bytes) and value.strip(b" \0") == canary.value.strip(b" \0")
