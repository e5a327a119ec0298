"""The one way from people whom this node found to a number that may leave it.

What is told is a function of how many of the secret third were found (`noise`), and of nothing else, but for one guard:
a set of fewer people than the least number told is never told, whatever was counted. The bar for what was counted is
so high that the guard hardly ever decides, and a question that finds nine or ten people tells the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from wardround.contracts.disclosure import SMALLEST_TOLD, Count
from wardround.node.cohort.noise import STANDS_FOR, PersonWords, Tally

GUARD_DECIDES = 0.01
"""How likely at most a set one person short of the least number told passes the bar for what was counted."""


def disclosed(found: Tally, *, smallest: int = SMALLEST_TOLD) -> Count:
    """The only form in which a number of people leaves a node.

    The standard deviation of what is told about n people is √(2n), and that of rounding to `step` people.

    Args:
        smallest: the least number of people of which anything is told; below 10 it counts as 10.
    """
    smallest = max(smallest, SMALLEST_TOLD)
    if found.people < smallest or found.counted < bar(smallest):
        return Count(about=None)
    estimate = STANDS_FOR * found.counted
    grain = step(estimate)
    return Count(about=grain * ((estimate + grain // 2) // grain))


def step(estimate: int) -> int:
    """What a number is rounded to: 10, 20, 50, 100, 200 and so on, never coarser than the noise by far.

    It is the largest of these up to √(2·`estimate`), which is the noise's own standard deviation, and 10 at least.
    """
    limit, grain = math.isqrt(2 * max(estimate, 0)), 10
    while True:
        scale = 10 ** (len(str(grain)) - 1)
        coarser = {1: 2, 2: 5, 5: 10}[grain // scale] * scale
        if coarser > limit:
            return grain
        grain = coarser


@lru_cache(maxsize=64)
def bar(smallest: int) -> int:
    """How many of the secret third have to be found: of `smallest` - 1 people so many are in it once in a hundred."""
    people, share = smallest - 1, 1 / STANDS_FOR
    tail, counted = 0.0, people + 1
    while counted > 0:
        log_choose = math.lgamma(people + 1) - math.lgamma(counted) - math.lgamma(people - counted + 2)
        tail += math.exp(log_choose + (counted - 1) * math.log(share) + (people - counted + 1) * math.log1p(-share))
        if tail > GUARD_DECIDES:
            break
        counted -= 1
    return counted


def disclosed_parts(found: Mapping[str, Tally], *, smallest: int = SMALLEST_TOLD) -> dict[str, Count]:
    """What is told of the groups of one breakdown: those that may be told, and of the others not even their names.

    Where only one group that holds anybody counted would stay untold, the smallest of those told does too, so that
    it can't be had by subtracting the others from a total.
    """
    told = {name: disclosed(tally, smallest=smallest) for name, tally in found.items()}
    shown = {name: count for name, count in told.items() if count.about is not None}
    untold = [name for name in found if name not in shown and found[name].counted]
    if len(untold) == 1 and shown:
        del shown[min(shown, key=lambda name: (shown[name].about or 0, name))]
    return dict(sorted(shown.items()))


@dataclass(frozen=True, slots=True)
class Discloser:
    """What this node tells of people: who is in its secret third, and the least number that it tells: `smallest`, or
    what `raised` says at that moment where that is more."""

    words: PersonWords
    smallest: int = SMALLEST_TOLD
    raised: Callable[[], int] = lambda: SMALLEST_TOLD

    @property
    def least(self) -> int:
        return max(self.smallest, self.raised())

    def people(self, pseudonyms: Iterable[str]) -> Count:
        """What is told of a set of people, by the site's own pseudonyms."""
        return self.of(self.words.tally(pseudonyms))

    def of(self, found: Tally) -> Count:
        return disclosed(found, smallest=self.least)
