"""The held-out patients of a hospital."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.learning.split import split

hospitals = st.dictionaries(st.text(min_size=1, max_size=6), st.floats(0, 500), min_size=2, max_size=60)


@given(hospitals, st.integers(0, 2**31))
def test_every_patient_is_on_one_side_and_neither_side_is_empty(sizes, seed):
    parts = split(sizes, seed=seed)
    assert parts.training
    assert parts.held_out
    assert sorted(parts.training + parts.held_out) == sorted(sizes)


@given(hospitals, st.integers(0, 2**31))
def test_about_a_quarter_is_held_out(sizes, seed):
    assert abs(len(split(sizes, seed=seed).held_out) - len(sizes) / 4) <= 0.75


@given(hospitals, st.integers(0, 2**31))
def test_the_order_of_arrival_does_not_matter(sizes, seed):
    assert split(dict(reversed(sizes.items())), seed=seed) == split(sizes, seed=seed)


@given(st.integers(8, 60), st.integers(0, 2**31))
def test_no_seed_holds_out_only_small_or_only_large_tumours(count, seed):
    sizes = {f"p{number}": float(number) for number in range(count)}
    ranks = [int(name[1:]) / (count - 1) for name in split(sizes, seed=seed).held_out]
    assert 0.25 <= sum(ranks) / len(ranks) <= 0.75


def test_of_few_patients_neither_the_smallest_nor_the_largest_tumour_is_held_out():
    for seed in range(30):
        assert split({"a": 1, "b": 2, "c": 3}, seed=seed).held_out == ("b",)


def test_the_seed_matters():
    sizes = {f"p{number}": float(number) for number in range(40)}
    assert len({split(sizes, seed=seed).held_out for seed in range(10)}) == 10


def test_one_patient_cannot_be_split():
    with pytest.raises(ValueError, match="at least 2"):
        split({"a": 1.0}, seed=0)
