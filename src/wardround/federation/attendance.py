"""Which sites of a leg are there, which are waited for, and why others aren't. Bookkeeping under the leg's own lock."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from wardround.federation.engine import UpdateRefused

NO_CONTACT = "no-contact"


@dataclass
class _Site:
    """What a leg knows of one site. ``waited_for`` is False once it missed a deadline or was lost, until it is
    back.
    """

    last_seen: float
    heard: bool = False
    waited_for: bool = True
    away: str = ""
    told_end: bool = False


class Attendance:
    """The sites of one leg; parameters as :class:`wardround.federation.leg.Leg` has them."""

    def __init__(
        self,
        present: Iterable[str],
        absent: Mapping[str, str],
        clock: Callable[[], float],
        *,
        silence: float | None,
        start_silence: float | None,
    ) -> None:
        self._clock = clock
        self._silence = silence
        self.start_silence = start_silence if start_silence is not None else silence
        self._sites = {site: _Site(clock()) for site in present}
        self._absent = dict(absent)

    @property
    def names(self) -> list[str]:
        """Every site that ever was in the leg."""
        return list(self._sites)

    @property
    def absent(self) -> Mapping[str, str]:
        """The wanted sites that never were in it, and why."""
        return dict(self._absent)

    @property
    def away(self) -> Mapping[str, str]:
        """All that were wanted and aren't there, and why."""
        return self._absent | {name: site.away for name, site in self._sites.items() if site.away}

    def heard(self, site: str) -> None:
        """The site said something. Raises :class:`UpdateRefused` (``unknown-site``) for one that isn't in the leg."""
        known = self._sites.get(site)
        if known is None:
            raise UpdateRefused("unknown-site")
        known.last_seen, known.heard = self._clock(), True

    def back(self, site: str) -> None:
        """The site takes part, and is waited for."""
        self._sites[site].waited_for, self._sites[site].away = True, ""

    def welcome(self, site: str) -> None:
        """The site was asked in; nobody waits for it before it is :meth:`back`."""
        away = self._absent.pop(site, NO_CONTACT)
        self._sites.setdefault(site, _Site(self._clock(), waited_for=False, away=away))

    def lose(self, site: str, reason: str) -> bool:
        """The site isn't waited for any more. Whether it is one of the leg's."""
        known = self._sites.get(site)
        if known is not None:
            known.waited_for, known.away = False, reason
        return known is not None

    def expected(self, sites: Iterable[str]) -> tuple[set[str], dict[str, str]]:
        """Which of these sites are waited for, and why others are missing."""
        known = {name: self._sites[name] for name in sites}
        waiting = {name for name, site in known.items() if site.waited_for}
        return waiting, {name: site.away for name, site in known.items() if not site.waited_for} | self._absent

    def silent(self, sites: Iterable[str], now: float) -> tuple[list[str], float]:
        """Which of these sites have said nothing for too long, and how long until the next could be."""
        gone, soonest = [], math.inf
        for name in sites:
            site = self._sites[name]
            patience = self._silence if site.heard else self.start_silence
            if patience is None:
                continue
            remaining = site.last_seen + patience - now
            if remaining <= 0:
                gone.append(name)
            else:
                soonest = min(soonest, remaining)
        return gone, soonest

    def told_end(self, site: str) -> None:
        """The site knows that the leg is over."""
        self._sites[site].told_end = True

    @property
    def all_told(self) -> bool:
        """Whether every site that isn't away knows that the leg is over."""
        return not any(site.waited_for and not site.told_end for site in self._sites.values())
