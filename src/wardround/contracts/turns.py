"""Whose turn it is in a round in which sites train one after another."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from pydantic import Field

from wardround.contracts.base import Frozen, SiteName


class Turns(Frozen):
    """`order` names sites in the order of their turns; those that it doesn't name come after them. Empty: each round
    has an order of its own, which follows from `seed`."""

    order: tuple[SiteName, ...] = Field(default=(), max_length=1000)
    seed: int = Field(default=0, ge=0, lt=2**31)

    def of(self, sites: Iterable[str], round_number: int) -> list[str]:
        """These sites in the order of their turns in a round; the same whenever it is asked."""
        if not self.order:
            return sorted(sites, key=lambda site: sha256(f"{self.seed}\n{round_number}\n{site}".encode()).digest())
        places = {site: place for place, site in enumerate(self.order)}
        return sorted(sites, key=lambda site: (places.get(site, len(places)), site))
