"""Outlines what a package was made for on 2D slices of one volume. Needs torch and MONAI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from wardround.learning import network
from wardround.learning.augmentation import augment
from wardround.learning.case import Case, Preparation
from wardround.learning.learner import Learner
from wardround.learning.metrics import Outcome, dice

_TUMOUR_SHARE = 0.02
"""Of the pixels in a batch, about."""


@dataclass(frozen=True)
class PreparedSlices:
    """A case on the network's grid, as float16: about 15 kB a slice."""

    image: NDArray[np.float16]
    label: NDArray[np.float16]
    neighbour: int
    tumour_slices: NDArray[np.intp]


class Segmenter(Learner[Case, PreparedSlices]):
    """2D segmentation of slices. It predicts a mask, bool (Z, Y, X), on the image's own grid; judged by Dice over the
    whole volume there."""

    @property
    def _preparation(self) -> Preparation:
        preparation = self.bundle.preparation
        assert isinstance(preparation, Preparation)  # noqa: S101 - `kinds.learner_of` chose by it
        return preparation

    def _begin(self, module: torch.nn.Module) -> None:
        network.expect_rarely(module, _TUMOUR_SHARE)

    def _judge(self, case: Case) -> Outcome:
        assert case.label is not None  # noqa: S101 - `evaluate` passes labelled cases only
        return (dice(self._predict(case), case.label),)

    def _outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        fold = self._preparation.fold
        folded: torch.Tensor = self._runs(functional.pixel_unshuffle(inputs, fold))
        return functional.pixel_shuffle(folded, fold).float()

    def _prepare(self, case: Case) -> PreparedSlices:
        assert case.label is not None  # noqa: S101 - callers pass labelled cases only
        placement = self._preparation.place(case.image, case.spacing)
        label = placement.to_grid(case.label.astype(np.float32))
        return PreparedSlices(
            image=self._preparation.image(case.image, placement).astype(np.float16),
            label=label.astype(np.float16),
            neighbour=placement.neighbour,
            tumour_slices=np.flatnonzero((label >= 0.5).any((1, 2))),
        )

    def _batch(
        self, prepared: Sequence[PreparedSlices], draws: np.random.Generator, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a patient, each alike, then one of its slices."""
        size = self.setting.batch_size
        images, labels = [], []
        for position in range(size):
            case = prepared[int(draws.integers(len(prepared)))]
            pool = case.tumour_slices if position < self.setting.tumour_share * size else None
            if pool is None or not len(pool):
                pool = np.arange(len(case.image))
            index = pool[[int(draws.integers(len(pool)))]]
            images.append(self._preparation.stack(case.image, index, case.neighbour))
            labels.append(case.label[index])
        drawn = torch.from_numpy(np.concatenate(images).astype(np.float32))
        wanted = torch.from_numpy(np.stack(labels).astype(np.float32))
        return augment(drawn, wanted, self.bundle.augmentation.times(self.setting.augmentation), generator)

    def _loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return overlap_loss(outputs, targets)


def overlap_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus one minus the soft Dice of the batch (Milletari et al., V-Net, 3DV 2016)."""
    probability = torch.sigmoid(logits)
    overlap = 2 * (probability * labels).sum() + 1
    return (
        functional.binary_cross_entropy_with_logits(logits, labels)
        + 1
        - overlap / (probability.sum() + labels.sum() + 1)
    )
