"""An image put together again from an update: the attacker has the network, the weights, the update and the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.demo.phantoms import hospitals
from wardround.learning import network
from wardround.learning.bundle import packaged, read_bundle
from wardround.learning.case import Case, Preparation
from wardround.learning.guard import Guard
from wardround.learning.privacy import clipped, noised
from wardround.learning.segmenter import overlap_loss

Gradient = dict[str, torch.Tensor]
NOISE = (0.001, 0.01)
_SMOOTH = 1e-3
_RATE = 0.1


@dataclass(frozen=True)
class Slice:
    """What one patient gives to a step: a slice with its neighbours (1, 3, Y, X), and its label (1, 1, Y, X)."""

    image: torch.Tensor
    label: torch.Tensor


@dataclass(frozen=True)
class Found:
    """How near the slice that was put together is to the real one: peak signal to noise in dB, and correlation."""

    psnr: float
    correlation: float


class Attack:
    """Cosine distance of gradients and total variation, by Adam on the signs of their gradient (Geiping, Bauermeister,
    Dröge, Moeller: Inverting Gradients, NeurIPS 2020), over the package's own network."""

    def __init__(self, seed: int, iterations: int) -> None:
        bundle = read_bundle(packaged())
        preparation = bundle.preparation
        if not isinstance(preparation, Preparation):
            raise TypeError("the package that comes with this program learns from slices")
        self._preparation = preparation
        self._module = network.build(bundle.network, seed).train()
        self._iterations = iterations
        self._seed = seed

    def slices(self, count: int) -> list[Slice]:
        """The slice with most tumour of the first invented patient at each of so many hospitals."""
        made = []
        for hospital in hospitals(count, seed=self._seed + 1, patients=1):
            patient = hospital.patient(hospital.keys[0])
            case = Case(patient.key, patient.image, patient.mask, patient.spacing)
            placement = self._preparation.place(case.image, case.spacing)
            label = placement.to_grid(patient.mask.astype(np.float32))
            image = self._preparation.image(case.image, placement)
            index = np.array([int(label.sum((1, 2)).argmax())])
            stacked = self._preparation.stack(image, index, placement.neighbour)
            made.append(Slice(torch.from_numpy(stacked).float(), torch.from_numpy(label[index][:, None]).float()))
        return made

    def gradient(self, of: Slice, *, kept: bool = False) -> Gradient:
        fold = self._preparation.fold
        logits = functional.pixel_shuffle(self._module(functional.pixel_unshuffle(of.image, fold)), fold)
        names, parameters = zip(*self._module.named_parameters(), strict=True)
        found = torch.autograd.grad(overlap_loss(logits, of.label), parameters, create_graph=kept)
        return dict(zip(names, found, strict=True))

    def updates(self, slices: Sequence[Slice]) -> dict[str, Gradient]:
        """What leaves of one step on the first slice, as it is and with each measure."""
        alone = self.gradient(slices[0])
        length = float(torch.linalg.vector_norm(torch.cat([one.ravel() for one in alone.values()])))
        arrays = {name: one.numpy() for name, one in alone.items()}
        made = {"as it is": alone, "cut to half its norm": _back(clipped(arrays, length / 2))}
        for share in NOISE:
            noisy = noised(clipped(arrays, length), share * length, bytes(32))
            made[f"hospital-level noise of {share:g}"] = _back(noisy)
        made["of 4 hospitals, masked"] = self._together([self.gradient(one) for one in slices])
        made["patient privacy, noise of 1"] = self._guarded(slices[0], length)
        return made

    def invert(self, update: Gradient, real: Slice) -> Found:
        """What of `real` can be put together again from an update."""
        generator = torch.Generator().manual_seed(self._seed)
        image = torch.randn(real.image.shape, generator=generator).mul_(0.1).requires_grad_(True)
        optimiser = torch.optim.Adam([image], lr=_RATE)
        wanted = torch.cat([one.ravel() for one in update.values()])
        for step in range(self._iterations):
            for group in optimiser.param_groups:
                group["lr"] = _RATE * (1 - step / self._iterations)
            found = self.gradient(Slice(image, real.label), kept=True)
            flat = torch.cat([found[name].ravel() for name in update])
            rough = (image.diff(dim=-1).abs().mean() + image.diff(dim=-2).abs().mean()) * _SMOOTH
            distance = 1 - functional.cosine_similarity(flat, wanted, dim=0) + rough
            (slope,) = torch.autograd.grad(distance, image)
            image.grad = slope.sign()
            optimiser.step()
        return _compared(image.detach()[0, 1].numpy(), real.image[0, 1].numpy())

    def guess(self, slices: Sequence[Slice]) -> Found:
        """How near another patient's slice is: whatever is below that tells nothing of this one."""
        return _compared(slices[1].image[0, 1].numpy(), slices[0].image[0, 1].numpy())

    def _together(self, gradients: Sequence[Gradient]) -> Gradient:
        return {name: torch.stack([one[name] for one in gradients]).mean(0) for name in gradients[0]}

    def _guarded(self, of: Slice, length: float) -> Gradient:
        privacy = PatientPrivacy(epsilon=1, noise_multiplier=1.0, sample_rate=1.0, max_grad_norm=length)

        def backward(patients: Sequence[Slice]) -> float:
            for name, found in self.gradient(patients[0]).items():
                self._module.get_parameter(name).grad = found
            return 0.0

        Guard(privacy, 1.0, bytes(32)).gradients(self._module, [of], backward, 0)
        return {name: one.grad.clone() for name, one in self._module.named_parameters() if one.grad is not None}


def _back(arrays: Mapping[str, NDArray[np.float32]]) -> Gradient:
    return {name: torch.from_numpy(one) for name, one in arrays.items()}


def _compared(found: NDArray[np.float32], real: NDArray[np.float32]) -> Found:
    """`found` may be of another brightness and contrast, and turned round in them: nobody would mistake that."""
    correlation = float(np.corrcoef(found.ravel(), real.ravel())[0, 1])
    slope = np.polyfit(found.ravel(), real.ravel(), 1)
    error = float(np.mean((np.polyval(slope, found) - real) ** 2))
    return Found(10 * float(np.log10(np.ptp(real) ** 2 / error)), abs(correlation))
