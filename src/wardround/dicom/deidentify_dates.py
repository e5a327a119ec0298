"""Shift DICOM dates by whole days and cap ages, on bytes. Times of day stay, so that intervals stay."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache

OLDEST_AGE = 89
_CLOCK = rb"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"
_COLONS = rb"(?:[01]\d|2[0-3]):[0-5]\d(?::(?:[0-5]\d|60)(?:\.\d{1,6})?)?"
_DATE = re.compile(rb"(\d{4})(\d{2})(\d{2})$|(\d{4})\.(\d{2})\.(\d{2})$")
_DATETIME = re.compile(rb"(\d{4})(?:(\d{2})(?:(\d{2})(" + _CLOCK + rb")?)?)?([+-]\d{4})?$")
_TIME = re.compile(rb"(?:" + _CLOCK + rb"|" + _COLONS + rb")?$")
_AGE = re.compile(rb"(\d{3})([DWMY])$")
_Shift = Callable[[bytes, int], bytes | None]
_PER_YEAR = {b"D": 365.25, b"W": 52.18, b"M": 12.0, b"Y": 1.0}


@lru_cache(maxsize=8192)
def shifted(value: bytes, vr: bytes, days: int) -> bytes | None:
    """A value of DA or DT moved by ``days``, or None if a part of it is no date (PS3.5 6.2).

    Several values, ranges (``A-B``, open ones too) and partial date-times keep their form; the old form
    ``yyyy.mm.dd`` becomes ``yyyymmdd``. A partial date-time moves as the first day that it can mean.
    """
    one = _date if vr == b"DA" else _datetime
    parts = []
    for part in value.rstrip(b"\0").split(b"\\"):
        moved = _range(part.strip(b" "), one, days)
        if moved is None:
            return None
        parts.append(moved)
    return b"\\".join(parts)


def is_time(value: bytes) -> bool:
    """Whether a value of TM holds nothing but times (PS3.5 6.2), the old form ``hh:mm:ss`` included."""
    return all(_TIME.match(part.strip(b" ")) for part in value.rstrip(b"\0").split(b"\\"))


def capped_age(value: bytes, cap: bool = True) -> bytes | None:
    """A value of AS; above 89 years it becomes ``090Y``, which stands for 90 or older, unless ``cap`` is false. None
    if it is no age."""
    text = value.strip(b" \0")
    if not text:
        return b""
    found = _AGE.match(text)
    if not found:
        return None
    years = int(found[1]) / _PER_YEAR[found[2]]
    return b"090Y" if cap and years >= OLDEST_AGE + 1 else text


def age_between(birth: bytes, day: bytes, cap: bool = True) -> bytes | None:
    """The age on ``day`` of someone born on ``birth`` (both DA), in years from two years on, else in months."""
    born, then = parsed(birth), parsed(day)
    if born is None or then is None or then < born:
        return None
    months = (then.year - born.year) * 12 + then.month - born.month - (then.day < born.day)
    if months >= 24:
        return capped_age(b"%03dY" % min(months // 12, 999), cap)
    return b"%03dM" % months


def parsed(value: bytes) -> date | None:
    """A single DA as a date, or None."""
    found = _DATE.match(value.strip(b" \0"))
    if not found:
        return None
    year, month, day = (int(part) for part in found.groups() if part is not None)
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _range(part: bytes, one: _Shift, days: int) -> bytes | None:
    if not part:
        return b""
    whole = one(part, days)
    if whole is not None or b"-" not in part:
        return whole
    for at in (place for place, byte in enumerate(part) if byte == 0x2D):
        ends = [end if not end else one(end, days) for end in (part[:at].strip(b" "), part[at + 1 :].strip(b" "))]
        if None not in ends and any(ends):
            return b"-".join(end for end in ends if end is not None)
    return None


def _date(part: bytes, days: int) -> bytes | None:
    day = parsed(part)
    return None if day is None else _moved(day, days)


def _datetime(part: bytes, days: int) -> bytes | None:
    found = _DATETIME.match(part)
    if not found:
        return None
    year, month, day, clock, offset = found.groups()
    try:
        moved = _moved(date(int(year), int(month or 1), int(day or 1)), days)
    except ValueError:
        return None
    if moved is None:
        return None
    kept = 8 if day else 6 if month else 4
    return moved[:kept] + (clock or b"") + (offset or b"")


def _moved(day: date, days: int) -> bytes | None:
    try:
        there = day + timedelta(days=days)
    except OverflowError:
        return None
    return b"%04d%02d%02d" % (there.year, there.month, there.day)
