"""Matching of attributes against a query (PS3.4 C.2.2.2, as PS3.18 8.3.4.1 has it in an address)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from wardround.node.dicomweb.failure import bad_request
from wardround.node.dicomweb.header import Json

T = TypeVar("T")

LARGEST_LIMIT = 5000
_LONGEST = 1024
_RANGES = frozenset({"DA", "TM", "DT"})
_PLAIN = _RANGES | {"UI", "IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "SV", "UV", "AT"}
_CONTROL = frozenset({"limit", "offset", "includefield", "fuzzymatching", "accept"})


@dataclass(frozen=True, slots=True)
class Search:
    """A search: `keys` by tag, each to be met; `fields` by tag, `everything` if all were asked for."""

    keys: Mapping[str, str]
    fields: frozenset[str]
    everything: bool
    limit: int
    offset: int
    fuzzy: bool

    def page(self, met: Iterable[T]) -> tuple[list[T], bool]:
        """Of what meets the keys that from the offset on, as much as the limit; and whether there is more. No more of
        it is taken than tells that."""
        found = list(islice(met, self.offset, self.offset + self.limit + 1))
        return found[: self.limit], len(found) > self.limit


def read_search(parameters: Iterable[tuple[str, str]]) -> Search:
    """The search that the query part of an address asks for.

    Raises:
        WebFailure: 400, an attribute or a number that can't be understood.
    """
    keys: dict[str, str] = {}
    fields: set[str] = set()
    control: dict[str, str] = {}
    for name, value in parameters:
        if len(value) > _LONGEST:
            raise bad_request("a value of the query is too long")
        if name.lower() == "includefield":
            fields |= {part.strip() for part in value.split(",") if part.strip()}
        elif name.lower() in _CONTROL:
            control[name.lower()] = value
        else:
            keys[tag_of(name)] = value.strip()
    everything = "all" in {field.lower() for field in fields}
    return Search(
        keys={tag: value for tag, value in keys.items() if value not in ("", "*")},
        fields=frozenset(tag_of(field) for field in fields if field.lower() != "all"),
        everything=everything,
        limit=min(_whole(control.get("limit"), "limit", LARGEST_LIMIT), LARGEST_LIMIT),
        offset=_whole(control.get("offset"), "offset", 0),
        fuzzy=control.get("fuzzymatching", "").lower() == "true",
    )


def tag_of(name: str) -> str:
    """An attribute's keyword or eight hexadecimal digits as its tag.

    Raises:
        WebFailure: 400, neither; or an attribute within a sequence, which can't be searched for here.
    """
    if "." in name:
        raise bad_request("attributes within sequences can't be searched for here")
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return name.upper()
    # The dictionary has attributes of no keyword.
    number = tag_for_keyword(name) if name else None
    if number is None:
        raise bad_request("the query names something that is no attribute's keyword or tag")
    return f"{number:08X}"


def matches(attribute: Json | None, value: str, tag: str) -> bool:
    """Whether one of an attribute's values is what `value` asks for: single value, list of UIDs, wild card or range."""
    vr = str((attribute or {}).get("vr") or _vr(tag))
    held = [_text(one) for one in (attribute or {}).get("Value", [])]
    if vr == "UI":
        return bool(set(re.split(r"[,\\]", value)) & set(held))
    if vr in _RANGES and "-" in value:
        return any(_within(one, value) for one in held)
    if vr in _PLAIN:
        return any(_same(one, value) for one in held)
    pattern = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in value)
    flags = re.IGNORECASE | re.DOTALL if vr == "PN" else re.DOTALL
    return any(re.fullmatch(pattern, one, flags) for one in held)


def keyword(tag: str) -> str:
    return keyword_for_tag(int(tag, 16))


def _within(held: str, value: str) -> bool:
    """Range matching; a time written shorter stands for all that begins with it (PS3.4 C.2.2.2.5)."""
    first, _, last = value.partition("-")
    return bool(held) and (not first or held[: len(first)] >= first) and (not last or held[: len(last)] <= last)


def _same(held: str, value: str) -> bool:
    if held == value:
        return True
    try:
        return float(held) == float(value)
    except ValueError:
        return False


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("Alphabetic", ""))
    return "" if value is None else str(value)


def _vr(tag: str) -> str:
    try:
        return dictionary_VR(int(tag, 16))
    except KeyError:
        return ""


def _whole(text: str | None, name: str, default: int) -> int:
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_request(f"{name} has to be a whole number")
    return int(text)
