"""The hours of the day at which the PACS may be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]|24):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """Spans of the local day, the first moment included and the last not; one that ends before it begins goes over
    midnight. No span at all means any time."""

    spans: tuple[tuple[time, time], ...] = ()
    zone: tzinfo | None = None

    @classmethod
    def parse(cls, text: str, time_zone: str = "") -> Hours:
        """Hours as `20:00-06:00`, or several joined by commas.

        Args:
            time_zone: a name of the IANA time zone database; empty for this machine's own.

        Raises:
            ValueError: a span or the time zone can't be understood.
        """
        spans = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            found = _SPAN.fullmatch(part)
            if found is None or (found[3] == "24" and found[4] != "00"):
                raise ValueError(f"{part!r} is no span of hours; write it as 20:00-06:00")
            first = time(int(found[1]), int(found[2]))
            last = time(int(found[3]) % 24, int(found[4]))
            if first == last and found[3] != "24":
                raise ValueError(f"{part!r} begins when it ends; leave it out for any time")
            spans.append((first, last))
        try:
            zone = ZoneInfo(time_zone) if time_zone else None
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{time_zone!r} is no known time zone; write it as Europe/London") from None
        return cls(tuple(spans), zone)

    def open_at(self, moment: datetime) -> bool:
        """Whether `moment`, which has its time zone, lies within a span."""
        if not self.spans:
            return True
        local = moment.astimezone(self.zone).time()
        return any(
            first <= local < last if first < last else local >= first or local < last for first, last in self.spans
        )
