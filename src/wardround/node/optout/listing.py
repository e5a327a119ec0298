"""Reads a list of opt-outs: one entry a line, `kind,value` or `local,id,issuer`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wardround.foundation.errors import WardroundError
from wardround.node.optout.identifier import HASHED, Kind, canonical, nhs_number

_LONGEST = 64
_HEX = frozenset("0123456789abcdef")
_TOLD = 5


class ListRefused(WardroundError):
    """A list that can't be taken in whole; the text names lines, never what they hold."""

    code = "list-refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `value` is ten digits, a local id as written, or a digest in hexadecimal."""

    kind: Kind
    value: str = field(repr=False)
    issuer: str = field(default="", repr=False)


def entry(kind: str, value: str, issuer: str = "") -> Entry:
    """An entry, checked.

    Raises:
        ValueError: what is wrong with it, without its value.
    """
    value = value.strip()
    if kind not in set(Kind):
        raise ValueError("the kind is none of " + ", ".join(Kind))
    known = Kind(kind)
    if known is Kind.NHS:
        digits = nhs_number(value)
        if digits is None:
            raise ValueError("not a valid NHS number: ten digits, of which the last checks the others")
        return Entry(known, digits)
    if known in HASHED:
        value = value.lower()
        if len(value) != 64 or not set(value) <= _HEX:
            raise ValueError("not a digest: 64 hexadecimal digits")
        return Entry(known, value)
    if not canonical(value) or len(value) > _LONGEST or len(issuer) > _LONGEST:
        raise ValueError(f"a local id has 1 to {_LONGEST} characters, and so has its issuer if one is given")
    return Entry(known, value, issuer.strip())


def read_list(lines: Iterable[str]) -> list[Entry]:
    """The entries of a list; blank lines and lines that begin with # are passed over. A line that is one valid NHS
    number needs no kind.

    Raises:
        ListRefused: one line or more can't be read; nothing of the list is to be used.
    """
    found, bad = [], []
    for number, line in _lines(lines):
        try:
            found.append(_entry(line))
        except (ValueError, csv.Error) as error:
            bad.append(f"line {number}: {error}")
    if bad:
        told = "; ".join(bad[:_TOLD]) + (f"; and {len(bad) - _TOLD} more" if len(bad) > _TOLD else "")
        raise ListRefused(f"nothing was loaded, since {len(bad)} lines can't be used: {told}. Correct the list")
    return found


def _lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("\ufeff")
        if text and not text.startswith("#"):
            yield number, text


def _entry(line: str) -> Entry:
    [fields] = csv.reader([line])
    fields = [field.strip() for field in fields]
    if len(fields) == 1:
        return entry(Kind.NHS, fields[0])
    if len(fields) > 3 or (len(fields) == 3 and fields[2] and fields[0].lower() != Kind.LOCAL):
        raise ValueError("too many fields")
    return entry(fields[0].lower(), fields[1], fields[2] if len(fields) == 3 else "")
