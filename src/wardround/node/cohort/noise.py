"""The noise of a count: a secret third of this hospital's people is counted, each of them for three.

Who is in the third follows from a secret word for each person, made once from the site's secret. So the noise belongs
to the very set of people: the same people give the same number whoever asks, however it is put and however often,
and two sets that differ by one person have the same noise but for that person. And to a person who isn't in the third,
two thirds of all, no number that leaves here owes anything: not one question nor a thousand, whoever they come from,
can tell whether that person was among those counted.

The same idea, a secret sample in which each person keeps one place in all tables, is used by the Australian Bureau of
Statistics as record keys for its cell perturbation (Fraser and Wooton 2005); there the keys choose an added number,
here they choose who counts, so that an attacker who finds the very question at which a number changes has found a
property of the third alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wardround.node.records.keys import NUMBER_BITS, RecordKeys

WORD_BITS = NUMBER_BITS
"""A person's word is a number of this many bits."""

STANDS_FOR = 3
"""How many people each person who is counted stands for."""

COUNTED_BELOW = 2**WORD_BITS // STANDS_FOR
"""A person whose word is below this is counted. In SQL: `word < 3074457345618258602`."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What an evaluator gives for a set of people: how many they are, and how many of them are in the secret third.

    Neither leaves the node; `disclosure.disclosed` makes of them what may.
    """

    people: int
    counted: int

    def __post_init__(self) -> None:
        if not 0 <= self.counted <= self.people:
            raise ValueError("a tally counts some of its people, or none")


class PersonWords:
    """Gives each person of this site a secret word: the one that the health records keep with the person.

    Args:
        secret: the site's, which never leaves it; what is made here can't be turned back into it.

    Raises:
        ValueError: the secret is shorter than 16 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._keys = RecordKeys(secret)

    def word(self, pseudonym: str) -> int:
        """The word of a person by the site's own pseudonym."""
        return self._keys.word(pseudonym)

    def tally(self, pseudonyms: Iterable[str]) -> Tally:
        """The tally of a set of people; one who is named twice is one person."""
        people = set(pseudonyms)
        return Tally(len(people), sum(self.word(person) < COUNTED_BELOW for person in people))
