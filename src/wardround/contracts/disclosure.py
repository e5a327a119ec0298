"""What a hospital answers to a question about people: one rule, `disclosed`, for every count that leaves a node."""

from __future__ import annotations

from pydantic import Field

from wardround.contracts.base import Frozen

SMALLEST_TOLD = 10
ROUNDED_TO = 5


class Count(Frozen):
    """A count as it may be told: `about` people, or `None` where fewer than ten (zero alike)."""

    about: int | None = Field(ge=SMALLEST_TOLD)

    def in_words(self) -> str:
        return f"fewer than {SMALLEST_TOLD}" if self.about is None else f"about {self.about}"


def disclosed(people: int) -> Count:
    """The only form in which a number of people leaves a node: below 10 untold, else to the nearest 5.

    A number of exactly 10 to 12 is told as 10, 13 to 17 as 15, and so on.
    """
    if people < SMALLEST_TOLD:
        return Count(about=None)
    return Count(about=max(SMALLEST_TOLD, ROUNDED_TO * round(people / ROUNDED_TO)))


def told_size(people: int) -> int:
    """What stands for a cohort's size in all that leaves a node and would show it: the told number, at least 10."""
    return disclosed(people).about or SMALLEST_TOLD
