"""How little a project may tell of any one patient: record-level differential privacy, where a record is a patient."""

from __future__ import annotations

from pydantic import Field

from wardround.contracts.base import Frozen


class PatientPrivacy(Frozen):
    """Training by DP-SGD (Abadi et al., CCS 2016) at each hospital, and the budget that bounds all of it there.

    At each step a patient takes part with the probability `sample_rate`, apart from all others. Of each who does, one
    gradient over all drawn of that patient is cut to a Euclidean norm of `max_grad_norm`, and to the sum of them noise
    is added of `noise_multiplier` times that. `epsilon` and `delta` bound all rounds of all runs of the project at one
    hospital together: with or without any one patient among those trained on, no outcome is more than e to the
    `epsilon` times as likely, but for a chance of `delta`.
    """

    epsilon: float = Field(gt=0, le=1000, allow_inf_nan=False)
    delta: float = Field(default=1e-5, gt=0, le=1e-2, allow_inf_nan=False)
    noise_multiplier: float = Field(gt=0, le=1000, allow_inf_nan=False)
    sample_rate: float = Field(gt=0, le=1, allow_inf_nan=False)
    max_grad_norm: float = Field(default=1.0, gt=0, le=1e6, allow_inf_nan=False)

    def in_words(self) -> str:
        return (
            f"epsilon {self.epsilon:g} at delta {self.delta:g} for all that leaves of training, by gradients of each "
            f"patient cut to {self.max_grad_norm:g}, noise of {self.noise_multiplier:g} times that, a patient in a "
            f"step with a chance of {self.sample_rate:g}"
        )
