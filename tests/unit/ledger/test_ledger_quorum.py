"""Any two quorums share a witness who isn't among the faulty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.ledger.quorum import is_quorum, quorum


@given(st.integers(1, 200), st.integers(0, 60))
def test_two_quorums_share_more_than_the_faulty_and_no_smaller_number_would_do(n: int, f: int) -> None:
    if f >= n:
        return
    q = quorum(n, f)
    assert 2 * q > n + f
    assert 2 * (q - 1) <= n + f
    assert q <= n
    assert is_quorum(q, n, f)
    assert not is_quorum(q - 1, n, f)


@given(st.integers(1, 60))
def test_with_more_than_three_times_as_many_witnesses_as_faulty_ones_a_quorum_needs_none_of_them(f: int) -> None:
    n = 3 * f + 1
    assert quorum(n, f) <= n - f


@pytest.mark.parametrize(("n", "q"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (8, 5)])
def test_without_faults_it_is_a_majority(n: int, q: int) -> None:
    assert quorum(n) == q


def test_no_number_is_a_quorum_where_nothing_can_be_one() -> None:
    for n, f in ((0, 0), (1, 1), (2, 3)):
        assert not is_quorum(n, n, f)
        with pytest.raises(ValueError, match="no quorum"):
            quorum(n, f)
