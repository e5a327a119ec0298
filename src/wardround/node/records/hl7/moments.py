"""Dates as FHIR and HL7 v2 write them, with as much of them as was written.

Sources: FHIR R4, Data Types, date and dateTime; HL7 2.5.1, 2.A.76 (TS) and 2.A.22 (DTM).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime

_FHIR = re.compile(
    r"(?P<y>\d{4})(-(?P<m>\d\d)(-(?P<d>\d\d)(T(?P<H>\d\d):(?P<M>\d\d)(:(?P<S>\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_V2 = re.compile(
    r"(?P<y>\d{4})((?P<m>\d\d)((?P<d>\d\d)((?P<H>\d\d)((?P<M>\d\d)((?P<S>\d\d)(\.\d+)?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)
_LONGEST = 40


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, perhaps in part; `month` and `day` are None where they weren't written. `at`: with the time of the day,
    as the clock on the wall showed it there."""

    year: int
    month: int | None = None
    day: int | None = None
    at: datetime | None = None

    @property
    def whole(self) -> date | None:
        """The day, or None for a date in part."""
        return None if self.month is None or self.day is None else date(self.year, self.month, self.day)

    @property
    def latest(self) -> date:
        """The day, or the last one that it can be: OMOP's rule for the date of a death (CDM 5.4, `death_date`)."""
        month = self.month or 12
        return date(self.year, month, self.day or calendar.monthrange(self.year, month)[1])


def fhir_moment(text: str) -> Moment | None:
    """A FHIR date, dateTime or instant; None for what isn't one."""
    return _moment(_FHIR, text)


def v2_moment(text: str) -> Moment | None:
    """An HL7 v2 TS, DTM or DT; None for what isn't one."""
    return _moment(_V2, text)


def _moment(form: re.Pattern[str], text: str) -> Moment | None:
    found = form.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if found is None:
        return None
    parts = {name: int(value) for name, value in found.groupdict().items() if value is not None}
    try:
        day = date(parts["y"], parts.get("m", 1), parts.get("d", 1))
        at = None
        if "H" in parts:
            # A leap second is the second before it: datetime knows none.
            at = datetime(  # the time on the wall
                day.year, day.month, day.day, parts["H"], parts.get("M", 0), min(parts.get("S", 0), 59)
            )
            if parts.get("S", 0) > 60:
                return None
    except ValueError:
        return None
    return Moment(day.year, parts.get("m"), parts.get("d"), at)
