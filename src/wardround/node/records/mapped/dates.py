"""Dates by a format such as `%d/%m/%Y`: a closed list of directives, the same on every machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from wardround.node.records.hl7.moments import Moment

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DIGITS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {"Y": ("y", 4), "m": ("m", 2), "d": ("d", 2), "H": ("H", 2), "M": ("M", 2), "S": ("S", 2)}
)
_DIRECTIVE = re.compile(r"%(.)|([^%]+)", re.DOTALL)
_LONGEST = 64
KNOWN = "%Y, %m, %b, %d, %H, %M, %S"


@dataclass(frozen=True, slots=True)
class DateFormat:
    """How a date is written. %Y year of four digits; %m month, %d day, %H, %M, %S time, of one or two digits, but of
    two where digits follow each other; %b the month's first three letters in English."""

    text: str
    form: re.Pattern[str]

    @property
    def has_day(self) -> bool:
        return "d" in self.form.groupindex

    def read(self, text: str) -> Moment | None:
        """The date, or None for what isn't one in this format."""
        found = self.form.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            return None
        parts = found.groupdict()
        named = parts.pop("b", None)
        if named is not None:
            parts["m"] = str(_MONTHS.index(named.lower()) + 1)
        numbers = {name: int(value) for name, value in parts.items()}
        year, month, day = numbers["y"], numbers.get("m"), numbers.get("d")
        try:
            date(year, month or 1, day or 1)
            at = None
            if "H" in numbers and month is not None and day is not None:
                clock = (numbers["H"], numbers.get("M", 0), numbers.get("S", 0))
                at = datetime(year, month, day, *clock)
        except ValueError:
            return None
        return Moment(year, month, day, at)


def date_format(text: str) -> DateFormat:
    """The format that `text` writes.

    Raises:
        ValueError: it can't be used; the text says why.
    """
    parts = [(found[1], found[2]) for found in _DIRECTIVE.finditer(text)]
    if sum(2 if directive else len(literal) for directive, literal in parts) != len(text):
        raise ValueError(f"{text!r} ends in a lone %; known: {KNOWN}")
    pattern, seen = "", set[str]()
    for index, (directive, literal) in enumerate(parts):
        if literal is not None:
            pattern += re.escape(literal)
            continue
        name, length = ("b", 3) if directive == "b" else _DIGITS.get(directive, ("", 0))
        if not name:
            two = "; a year of two digits is of no certain century" if directive == "y" else ""
            raise ValueError(f"%{directive} isn't known in a date's format; known: {KNOWN}{two}")
        if name in seen:
            raise ValueError(f"has %{directive} more than once; keep one")
        seen.add(name)
        beside = parts[max(index - 1, 0) : index] + parts[index + 1 : index + 2]
        tight = any(one for one, _ in beside)
        if name == "b":
            pattern += f"(?P<b>(?i:{'|'.join(_MONTHS)}))"
        else:
            pattern += f"(?P<{name}>\\d{{{length if tight or name == 'y' else '1,2'}}})"
    if "y" not in seen or ("d" in seen and not seen & {"m", "b"}) or {"m", "b"} <= seen:
        raise ValueError(f"{text!r} has to say the year and, with a day, one month; such as %d/%m/%Y")
    if "H" not in seen and seen & {"M", "S"}:
        raise ValueError(f"{text!r} has minutes without hours; add %H")
    return DateFormat(text, re.compile(pattern, re.ASCII))
