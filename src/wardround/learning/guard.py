"""DP-SGD with a patient for a record: what one patient can change in a step is bounded, and drowned in noise.

Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang: Deep Learning with Differential Privacy, CCS 2016, algorithm 1,
where the example is all that a step draws of one patient. Slices of a patient are cut to one norm together: clipping
each slice for itself would bound what a slice tells and let a patient with a hundred of them tell a hundred times that.
Needs torch and Opacus.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from opacus.validators import ModuleValidator

from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.learning.bundle import BundleRefused
from wardround.learning.privacy import noised

PreparedT = TypeVar("PreparedT")


@dataclass(frozen=True)
class Guard:
    """How one round's training is kept from telling much of any one patient.

    expected: patients in a step, on the average, by which their gradients' sum is divided; at least 1. It follows from
        what is told of the cohort's size anyway: the exact number of patients would be one more thing that leaves.
    seed: 32 secret bytes that are this round's own. All of its chance comes from them, so that whoever knows the plan
        knows neither who took part in a step nor the noise; and the same round done again is the same to the bit.
    """

    privacy: PatientPrivacy
    expected: float
    seed: bytes = field(repr=False)

    @property
    def entropy(self) -> list[int]:
        """For the generators of what is drawn of each patient."""
        return self._numbers("draws")

    @staticmethod
    def check(module: torch.nn.Module) -> None:
        """Whether each patient's part in the network's weights can be told from the others', and all of it is noised.
        The module is in training mode afterwards.

        Raises:
            BundleRefused: `mixes-patients`, a layer normalises over several patients, or the network keeps statistics
                of what it saw beside its weights, which no noise would reach.
        """
        kept = [name for name, _ in module.named_buffers()]
        found = kept or [str(error) for error in ModuleValidator.validate(module.train(), strict=False)]
        if found:
            raise BundleRefused(
                "mixes-patients",
                f"this network can't be trained with patient privacy ({found[0]}); take group normalisation, or "
                "instance normalisation without running statistics",
            )

    def gradients(
        self,
        module: torch.nn.Module,
        patients: Sequence[PreparedT],
        backward: Callable[[Sequence[PreparedT]], float],
        step: int,
    ) -> float:
        """Leave in the parameters the noisy mean of the patients' gradients; the mean loss of those who took part.

        The steps are numbered from 0, and each is the same whatever steps were done before it.

        Args:
            backward: leaves the gradient of the given patients' loss in the parameters, and returns that loss.
        """
        told = self.privacy
        chance = np.random.default_rng(self._numbers(f"sample {step}"))
        drawn = chance.random(len(patients)) < told.sample_rate
        taking_part = [patient for patient, takes_part in zip(patients, drawn, strict=True) if takes_part]
        parameters = {name: one for name, one in module.named_parameters() if one.requires_grad}
        sums = {name: torch.zeros_like(one) for name, one in parameters.items()}
        losses = 0.0
        for patient in taking_part:
            losses += backward([patient])
            found = {name: one.grad for name, one in parameters.items() if one.grad is not None}
            length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in found.values()]))
            # In this order a gradient that isn't finite spoils the step and is refused, and never passes uncut.
            scale = told.max_grad_norm / torch.maximum(length, torch.tensor(told.max_grad_norm))
            for name, grad in found.items():
                sums[name].add_(grad * scale)
        sigma = told.noise_multiplier * told.max_grad_norm
        noisy = noised({name: one.numpy() for name, one in sums.items()}, sigma, self._bytes(f"noise {step}"))
        for name, one in parameters.items():
            one.grad = torch.from_numpy(noisy[name] / np.float32(self.expected))
        return losses / max(1, len(taking_part))

    def _bytes(self, use: str) -> bytes:
        return hmac.digest(self.seed, f"wardround patients v1 {use}".encode(), "sha256")

    def _numbers(self, use: str) -> list[int]:
        return [int(number) for number in np.frombuffer(self._bytes(use), dtype="<u4")]
