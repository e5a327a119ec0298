"""What is told of a set of people follows from those of them in the secret third, and from nobody else."""

from __future__ import annotations

import random
import statistics
from math import comb

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wardround.contracts.disclosure import Count
from wardround.node.cohort.disclosure import GUARD_DECIDES, Discloser, bar, disclosed, disclosed_parts, step
from wardround.node.cohort.noise import COUNTED_BELOW, STANDS_FOR, PersonWords, Tally
from wardround.node.records.keys import RecordKeys

PEOPLE = st.integers(0, 3_000_000)
SECRET = b"a secret of this site, 32 bytes."


@st.composite
def tallies(draw: st.DrawFn, people: st.SearchStrategy[int] = PEOPLE) -> Tally:
    there = draw(people)
    return Tally(there, draw(st.integers(0, there)))


@given(tallies(), PEOPLE)
def test_whoever_isnt_in_the_third_changes_nothing(found: Tally, more: int) -> None:
    """The promise in one line: two sets with the same people of the third are told alike, down to the least told."""
    assume(found.people >= 10)
    assert disclosed(Tally(found.people + more, found.counted)) == disclosed(found)


@given(tallies(), st.integers(10, 500))
def test_fewer_than_the_least_number_are_never_told(found: Tally, smallest: int) -> None:
    told = disclosed(found, smallest=smallest).about
    assert told is None or (found.people >= smallest and told >= smallest and told % 10 == 0)


@pytest.mark.parametrize("lowered", [0, -5, 3, 9])
def test_nobody_lowers_the_least_number(lowered: int) -> None:
    assert disclosed(Tally(9, 9), smallest=lowered) == Count(about=None)


@given(tallies(st.integers(10, 100_000)))
def test_one_person_more_of_the_third_is_told_as_no_fewer(found: Tally) -> None:
    more = disclosed(Tally(found.people + 1, found.counted + 1)).about or 0
    assert more >= (disclosed(found).about or 0)


@given(st.integers(100, 3_000_000))
def test_rounding_is_no_coarser_than_the_noise(estimate: int) -> None:
    assert 10 <= step(estimate) <= max(10, (2 * estimate) ** 0.5)


@given(st.integers(10, 400))
def test_the_guard_hardly_ever_decides(smallest: int) -> None:
    people, needed, share = smallest - 1, bar(smallest), 1 / STANDS_FOR

    def passes(needed: int) -> float:
        return sum(comb(people, k) * share**k * (1 - share) ** (people - k) for k in range(needed, people + 1))

    assert passes(needed) <= GUARD_DECIDES < passes(needed - 1)


@pytest.mark.parametrize("people", [60, 300, 4000])
def test_what_is_told_is_right_on_average_and_as_exact_as_is_said(people: int) -> None:
    draws = random.Random(people)  # noqa: S311 - no secret
    told = []
    for _ in range(1500):
        words = PersonWords(draws.randbytes(32))
        # The words themselves for small sets; for large ones, what they amount to.
        drawn = round(draws.gauss(people / 3, (2 * people / 9) ** 0.5))
        counted = words.tally(map(str, range(people))).counted if people == 60 else drawn
        told.append(disclosed(Tally(people, counted)).about or 0)
    spread = (2 * people + step(people) ** 2 / 12) ** 0.5
    assert abs(statistics.mean(told) - people) < 4 * spread / 1500**0.5
    assert 0.85 * spread < statistics.stdev(told) < 1.15 * spread


def test_the_same_people_are_told_alike_however_they_are_named() -> None:
    discloser = Discloser(PersonWords(SECRET))
    people = [f"WR-{number}" for number in range(80)]
    assert discloser.people(people) == discloser.people(people[::-1] + people[:7])


def test_records_and_images_know_a_person_by_the_same_word() -> None:
    """Else somebody would have a place in two thirds, and be counted in one or the other of them more often."""
    for person in ("WR-A", "WR-B", "WR-MZXW6YTBOI"):
        assert RecordKeys(SECRET).word(person) == PersonWords(SECRET).word(person)


def test_another_site_counts_another_third() -> None:
    people = [f"WR-{number}" for number in range(3000)]
    thirds = [
        {person for person in people if PersonWords(secret).word(person) < COUNTED_BELOW}
        for secret in (SECRET, b"another site's secret, 32 bytes.")
    ]
    for third in thirds:
        assert 900 < len(third) < 1100
    assert 250 < len(thirds[0] & thirds[1]) < 420
    assert all(0 <= PersonWords(SECRET).word(person) < 2**63 for person in people)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        PersonWords(b"short")


def test_a_tally_counts_some_of_its_people() -> None:
    with pytest.raises(ValueError, match="some of its people"):
        Tally(3, 4)


GROUPS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), tallies(st.integers(0, 400)), max_size=8)


@given(GROUPS)
def test_groups_are_told_by_the_same_rule_or_not_named(found: dict[str, Tally]) -> None:
    told = disclosed_parts(found)
    for name, count in told.items():
        assert count == disclosed(found[name]) and count.about is not None
    assert list(told) == sorted(told)


@given(GROUPS)
def test_no_group_stays_untold_alone(found: dict[str, Tally]) -> None:
    """The one that is untold could be had from the total; so a second is."""
    untold = [name for name in found.keys() - disclosed_parts(found).keys() if found[name].counted]
    assert len(untold) != 1 or not disclosed_parts(found)
