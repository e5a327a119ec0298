"""Trains, judges and applies the network of a model package on one hospital's cases. Needs torch and MONAI."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from wardround.learning import network
from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.augmentation import augment
from wardround.learning.bundle import Bundle, read_bundle
from wardround.learning.case import Case, CaseRefused
from wardround.learning.components import without_small
from wardround.learning.metrics import dice

Progress = Callable[[int, int, float], None]
"""Called after each step with the steps done, the steps asked for, and the mean loss so far."""

_SLICES_AT_ONCE = 32
_TUMOUR_SHARE = 0.02
"""Of the pixels in a batch, about."""


class Stopped(RuntimeError):
    """Training was asked to stop; there are no weights."""


@dataclass(frozen=True)
class Trained:
    """What training gave: weights, the mean loss over its steps, how many steps."""

    arrays: Arrays
    loss: float
    steps: int


@dataclass(frozen=True)
class _Prepared:
    image: NDArray[np.float16]
    label: NDArray[np.float16]
    neighbour: int
    tumour_slices: NDArray[np.intp]


class Segmenter:
    """The network of one model package, in this process.

    `threads` sets torch's number of threads for the whole process. Prepared cases are kept (as float16 on the
    network's grid, about 15 kB a slice) for as long as their `Case` objects live, so hand in the same objects.
    """

    def __init__(self, bundle: Bundle | Path, threads: int = 1, setting: str = "default") -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        self.setting = self.bundle.setting(setting)
        torch.set_num_threads(threads)
        self._module = network.build(self.bundle.network)
        self._kept: tuple[int, int, torch.optim.Optimizer] | None = None
        self._fast_bfloat16 = network.has_fast_bfloat16()
        self._prepared: WeakKeyDictionary[Case, _Prepared] = WeakKeyDictionary()

    def initial(self, seed: int) -> Arrays:
        """Fresh weights, the same for the same seed."""
        module = network.build(self.bundle.network, seed)
        network.expect_rarely(module, _TUMOUR_SHARE)
        return network.weights(module)

    def train(
        self,
        arrays: Arrays,
        cases: Sequence[Case],
        *,
        steps: int,
        round_number: int,
        total_rounds: int,
        seed: int,
        proximal: float = 0.0,
        stop: Callable[[], bool] | None = None,
        progress: Progress | None = None,
    ) -> Trained:
        """Train from `arrays` for `steps` steps as round `round_number` (from 1) of `total_rounds`.

        The learning rate follows one cosine over all rounds. The optimiser's moments go on from the round before
        where this object trained that one with the same seed, and begin afresh otherwise. So the same calls give
        the same weights on the same machine.

        Args:
            proximal: the loss grows with half of this times the squared distance from `arrays` (FedProx, Li et al.,
                MLSys 2020, its mu).

        Raises:
            Stopped: `stop` answered true between two steps.
            CaseRefused: `no-labels`, no case has a label; `empty-image`.
            ArraysRefused: the weights aren't this network's; `not-finite`, training diverged.
        """
        if steps < 1 or not 1 <= round_number <= total_rounds:
            raise ValueError(f"{steps} steps in round {round_number} of {total_rounds} make no sense")
        prepared = [self._prepare(case) for case in cases if case.label is not None]
        if not prepared:
            raise CaseRefused("no-labels", "none of the cases has a label to train on")
        network.load_weights(self._module, arrays)
        setting = self.setting
        optimiser = self._optimiser(seed, round_number)
        draws = np.random.default_rng([seed, round_number])
        generator = torch.Generator().manual_seed(int(draws.integers(2**62)))
        amounts = self.bundle.augmentation.times(setting.augmentation)
        self._module.train()
        held_to = [one.detach().clone() for one in self._module.parameters()] if proximal else []
        losses = 0.0
        for step in range(steps):
            if stop is not None and stop():
                raise Stopped("training was asked to stop")
            for group in optimiser.param_groups:
                group["lr"] = self._learning_rate(step, steps, round_number, total_rounds)
            images, labels = augment(*self._batch(prepared, draws), amounts, generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=self._fast_bfloat16):
                logits = self._logits(images)
            loss = _loss(logits, labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            if proximal:
                self._hold(held_to, proximal)
            torch.nn.utils.clip_grad_norm_(self._module.parameters(), 5.0)
            optimiser.step()
            losses += float(loss.detach())
            if not math.isfinite(losses):
                raise ArraysRefused("not-finite", "training diverged: the loss is no longer finite")
            if progress is not None:
                progress(step + 1, steps, losses / (step + 1))
        self._kept = (seed, round_number, optimiser)
        return Trained(network.weights(self._module), losses / steps, steps)

    def _hold(self, held_to: Sequence[torch.Tensor], strength: float) -> None:
        """Add the proximal term's gradient to the loss's own."""
        for now, began in zip(self._module.parameters(), held_to, strict=True):
            if now.grad is not None:
                now.grad.add_(now.detach() - began, alpha=strength)

    def _optimiser(self, seed: int, round_number: int) -> torch.optim.Optimizer:
        """The last round's optimiser with its moments, if this process trained that one too; else a fresh one.

        Moments that begin anew with every round cost a federated model the first steps of each.
        """
        if self._kept is not None and self._kept[:2] == (seed, round_number - 1):
            return self._kept[2]
        setting = self.setting
        return torch.optim.AdamW(self._module.parameters(), lr=setting.learning_rate, weight_decay=setting.weight_decay)

    def evaluate(
        self, arrays: Arrays, cases: Sequence[Case], *, stop: Callable[[], bool] | None = None
    ) -> dict[str, float]:
        """Dice of each labelled case by name, over its whole volume on its own grid.

        Raises:
            Stopped: `stop` answered true between two cases.
            CaseRefused, ArraysRefused: as `train`.
        """
        network.load_weights(self._module, arrays)
        found = {}
        for case in cases:
            if case.label is None:
                continue
            if stop is not None and stop():
                raise Stopped("evaluation was asked to stop")
            found[case.name] = dice(self._segment(case.image, case.spacing), case.label)
        return found

    def predict(self, arrays: Arrays, image: NDArray[Any], spacing: tuple[float, float, float]) -> NDArray[np.bool_]:
        """The tumour in `image` (Z, Y, X) with `spacing` (z, y, x) in mm, as a mask on the image's own grid.

        Raises:
            CaseRefused: the image isn't a finite volume, or has nothing in it.
            ArraysRefused: the weights aren't this network's.
        """
        network.load_weights(self._module, arrays)
        return self._segment(image, spacing)

    def _segment(self, image: NDArray[Any], spacing: tuple[float, float, float]) -> NDArray[np.bool_]:
        preparation, post = self.bundle.preparation, self.bundle.postprocessing
        placement = preparation.place(image, spacing)
        slices = preparation.image(image, placement)
        self._module.eval()
        found = np.empty(slices.shape, np.float32)
        with torch.inference_mode():
            for start in range(0, len(slices), _SLICES_AT_ONCE):
                indices = np.arange(start, min(start + _SLICES_AT_ONCE, len(slices)))
                batch = torch.from_numpy(preparation.stack(slices, indices, placement.neighbour))
                probability = torch.sigmoid(self._logits(batch))
                if post.flip:
                    probability += torch.sigmoid(self._logits(batch.flip(-1))).flip(-1)
                    probability /= 2
                found[indices] = probability[:, 0].numpy()
        if post.smallest_part > 0:
            found *= without_small(found >= post.threshold, post.smallest_part)
        return np.asarray(placement.from_grid(found) >= post.threshold)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        fold = self.bundle.preparation.fold
        folded: torch.Tensor = self._module(functional.pixel_unshuffle(images, fold))
        return functional.pixel_shuffle(folded, fold).float()

    def _prepare(self, case: Case) -> _Prepared:
        if case not in self._prepared:
            assert case.label is not None  # noqa: S101 - callers pass labelled cases only
            placement = self.bundle.preparation.place(case.image, case.spacing)
            label = placement.to_grid(case.label.astype(np.float32))
            self._prepared[case] = _Prepared(
                image=self.bundle.preparation.image(case.image, placement).astype(np.float16),
                label=label.astype(np.float16),
                neighbour=placement.neighbour,
                tumour_slices=np.flatnonzero((label >= 0.5).any((1, 2))),
            )
        return self._prepared[case]

    def _batch(self, prepared: Sequence[_Prepared], draws: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a patient, each alike, then one of its slices."""
        size = self.setting.batch_size
        images, labels = [], []
        for position in range(size):
            case = prepared[int(draws.integers(len(prepared)))]
            pool = case.tumour_slices if position < self.setting.tumour_share * size else None
            if pool is None or not len(pool):
                pool = np.arange(len(case.image))
            index = pool[[int(draws.integers(len(pool)))]]
            images.append(self.bundle.preparation.stack(case.image, index, case.neighbour))
            labels.append(case.label[index])
        return (
            torch.from_numpy(np.concatenate(images).astype(np.float32)),
            torch.from_numpy(np.stack(labels).astype(np.float32)),
        )

    def _learning_rate(self, step: int, steps: int, round_number: int, total_rounds: int) -> float:
        setting = self.setting
        done = (round_number - 1 + step / steps) / total_rounds
        fall = (1 + math.cos(math.pi * done)) / 2
        rate = setting.final_learning_rate + (setting.learning_rate - setting.final_learning_rate) * fall
        return rate * min(1.0, (step + 1) / (setting.warmup_steps + 1))


def _loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus one minus the soft Dice of the batch (Milletari et al., V-Net, 3DV 2016)."""
    probability = torch.sigmoid(logits)
    overlap = 2 * (probability * labels).sum() + 1
    return (
        functional.binary_cross_entropy_with_logits(logits, labels)
        + 1
        - overlap / (probability.sum() + labels.sum() + 1)
    )


def site_seed(seed: int, site: str) -> int:
    """A run's seed for one site, so that sites draw different slices: 62 bits of a hash of both."""
    return int.from_bytes(sha256(f"{seed}\n{site}".encode()).digest()[:8], "big") >> 2
