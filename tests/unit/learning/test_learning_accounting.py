"""What rounds tell of a patient, against published and exact values."""

from __future__ import annotations

from math import erf, exp, sqrt

import pytest
from opacus.accountants import RDPAccountant

from wardround.learning.accounting import Spending, epsilon_of


def test_the_example_of_the_paper() -> None:
    """Abadi et al., CCS 2016, section 3.2: q = 0.01, sigma = 4, 10,000 steps, delta = 1e-5 give an epsilon of 1.26."""
    assert 0.9 < epsilon_of([Spending(4.0, 0.01, 10_000)], 1e-5) <= 1.26


@pytest.mark.parametrize(("sigma", "steps"), [(1.0, 1), (2.0, 4), (5.0, 100), (0.7, 1)])
def test_it_is_above_what_is_exact_and_near_it(sigma: float, steps: int) -> None:
    """Without sampling the exact delta is known (Balle and Wang, ICML 2018, theorem 8)."""

    def normal(x: float) -> float:
        return (1 + erf(x / sqrt(2))) / 2

    mu = sqrt(steps) / sigma
    epsilon = epsilon_of([Spending(sigma, 1.0, steps)], 1e-5)
    for told, above in ((epsilon, True), (epsilon * 0.85, False)):
        exact = normal(mu / 2 - told / mu) - exp(told) * normal(-mu / 2 - told / mu)
        assert (exact <= 1e-5) is above


def test_all_that_was_spent_adds_up_as_in_opacus_own_accountant() -> None:
    accountant = RDPAccountant()
    for _ in range(30):
        accountant.step(noise_multiplier=1.1, sample_rate=0.05)
    for _ in range(12):
        accountant.step(noise_multiplier=2.0, sample_rate=0.2)
    ours = epsilon_of([Spending(1.1, 0.05, 10), Spending(2.0, 0.2, 12), Spending(1.1, 0.05, 20)], 1e-5)
    assert ours == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)


def test_nothing_spent_is_nothing_and_every_step_more_is_more() -> None:
    assert epsilon_of([], 1e-5) == 0.0
    told = [epsilon_of([Spending(1.0, 0.1, steps)], 1e-5) for steps in (1, 10, 100)]
    assert 0 < told[0] < told[1] < told[2]
    assert epsilon_of([Spending(1000.0, 0.01, 1)], 1e-2) >= 0
