"""What a hospital tells of numbers of people: `Count`, the one form in which such a number leaves a node.

How a node makes one out of the people whom it found is `wardround.node.cohort.disclosure`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import Field

from wardround.contracts.base import Frozen

SMALLEST_TOLD = 10
"""No number of people below this is told, nor that there is nobody. A node may raise it, never lower it."""

LEAST_STEP = 5
"""Every number told is a multiple of this; the numbers told now are multiples of ten, older ones of five."""

UNTOLD = "fewer than 10, or too few to tell"


class Count(Frozen):
    """A count as it may be told: `about` people, or `None` where they are fewer than ten (zero alike) or so few that
    telling them apart from that would tell too much."""

    about: int | None = Field(ge=SMALLEST_TOLD, multiple_of=LEAST_STEP)

    def in_words(self) -> str:
        return UNTOLD if self.about is None else f"about {self.about:,}"


def told_size(count: Count) -> int:
    """What stands for a cohort's size in all that leaves a node and would show it: the told number, at least 10."""
    return count.about or SMALLEST_TOLD


@dataclass(frozen=True, slots=True)
class Total:
    """Counts of several sites together: the sum of what was told, and how many sites told nothing to add."""

    about: int
    told: int
    untold: int

    def in_words(self) -> str:
        if not self.told:
            return UNTOLD if self.untold == 1 else "too few to tell at each site"
        return f"at least about {self.about:,}" if self.untold else f"about {self.about:,}"


def total(counts: Iterable[Count]) -> Total:
    """Adds up what sites told. Where one told nothing, its people are missing from the sum."""
    told = list(counts)
    numbers = [count.about for count in told if count.about is not None]
    return Total(about=sum(numbers), told=len(numbers), untold=len(told) - len(numbers))
