"""What is written in a cell, as a number, a day or a code.

Sources: OMOP CDM 5.4 for the forms of dates; PostgreSQL and pandas for how they write numbers and times into CSV.
"""

from __future__ import annotations

import math
import re

from wardround.node.records.hl7.conventions import CODE, NAME
from wardround.node.records.hl7.moments import Moment, fhir_moment, v2_moment
from wardround.node.records.row import Code

_LONGEST = 40
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"([+-]?\d{1,19})(\.0*)?", re.ASCII)
_ZONE = re.compile(r"(:\d\d(?:\.\d+)?)([+-]\d\d)(\d\d)?")
_LARGEST = 1 << 63


def number(text: str, decimal: str = ".") -> float | None:
    """A finite number, written with `decimal`; None for anything else."""
    if len(text) > _LONGEST or (decimal != "." and "." in text):
        return None
    plain = text.replace(decimal, ".")
    if not _NUMBER.fullmatch(plain):
        return None
    found = float(plain)
    return found if math.isfinite(found) else None


def whole(text: str) -> int | None:
    """A whole number of 64 bits, perhaps with zeros behind a point; None for anything else."""
    found = _WHOLE.fullmatch(text)
    if found is None:
        return None
    value = int(found[1])
    return value if -_LARGEST <= value < _LARGEST else None


def moment(text: str) -> Moment | None:
    """A day as `2020-02-29` or `20200229`, perhaps with a time; None for anything else. The time is that of the clock
    on the wall: a zone behind it is left out."""
    if text.isdigit():
        return v2_moment(text) if len(text) == 8 else None
    zoned = _ZONE.sub(lambda found: f"{found[1]}{found[2]}:{found[3] or '00'}", text)
    return fhir_moment(zoned.replace(" ", "T", 1))


def code(vocabulary: str, text: str) -> Code | None:
    """A code of a vocabulary; None for what can't be one."""
    fits = NAME.fullmatch(vocabulary) and CODE.fullmatch(text)
    return Code(vocabulary, text) if fits else None
