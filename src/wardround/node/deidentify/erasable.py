"""What an erasure takes: whom it is about, and how much of what kind."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Person:
    """Whom an erasure is about; what of it identifies is sealed wherever it is kept.

    studies: the keys of their studies at the front door, on whatever path. asks, commitments: the rows of pulls that
    asked for them, and of storage commitments that wait for their answer and name instances of theirs.
    """

    pseudonyms: tuple[str, ...]
    studies: tuple[str, ...] = field(repr=False)
    instances: tuple[int, ...] = field(repr=False)
    asks: tuple[int, ...] = ()
    commitments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What an erasure would take: counts by kind."""

    person: Person
    counts: dict[str, int]
    research_only: bool = False

    @property
    def nothing(self) -> bool:
        return not any(self.counts.values())
