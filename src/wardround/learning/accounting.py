"""What rounds of DP-SGD tell of a patient altogether. Needs Opacus, and so torch: for the learning process alone."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

ORDERS = (*(1 + tenth / 10 for tenth in range(1, 100)), *range(11, 64), *range(64, 1025, 32))
"""The orders of Rényi divergence that are tried."""


@dataclass(frozen=True)
class Spending:
    """Steps of DP-SGD that were, or are to be, done over the same patients."""

    noise_multiplier: float
    sample_rate: float
    steps: int


def epsilon_of(spent: Sequence[Spending], delta: float) -> float:
    """The epsilon of all of `spent` together at `delta`, for adding or removing one patient; 0 for none.

    Rényi differential privacy of the Poisson-sampled Gaussian mechanism (Mironov, Talwar, Zhang: Rényi Differential
    Privacy of the Sampled Gaussian Mechanism, 2019), composed by adding up and turned into epsilon and delta by Opacus'
    accountant: an upper bound at every order, with no numerical integration to trust.
    """
    from opacus.accountants import RDPAccountant

    if not spent:
        return 0.0
    steps: Counter[tuple[float, float]] = Counter()
    for one in spent:  # alike steps together: what the accountant does takes as long for one of them as for thousands
        steps[one.noise_multiplier, one.sample_rate] += one.steps
    accountant = RDPAccountant()
    accountant.history = [(noise, rate, count) for (noise, rate), count in sorted(steps.items())]
    with warnings.catch_warnings():
        # It advises to try more orders; the bound holds at each, and ORDERS reach as far as is of use.
        warnings.simplefilter("ignore", UserWarning)
        return max(0.0, float(accountant.get_epsilon(delta, alphas=list(ORDERS))))
