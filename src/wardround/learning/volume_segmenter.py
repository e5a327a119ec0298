"""Outlines in three dimensions, a patch of a volume at a time. Needs torch and MONAI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wardround.learning.case import Case
from wardround.learning.learner import Learner
from wardround.learning.metrics import Outcome, dice
from wardround.learning.prediction import logit
from wardround.learning.segmenter import overlap_loss
from wardround.learning.volume import VolumePreparation, cut


@dataclass(frozen=True)
class PreparedVolume:
    """A case on the network's grid; `inside` is where its label is, an index for each voxel of it."""

    image: NDArray[np.float16]
    label: NDArray[np.float16]
    inside: NDArray[np.intp]


class VolumeSegmenter(Learner[Case, PreparedVolume]):
    """3D segmentation. It predicts a mask, bool (Z, Y, X), on the image's own grid; judged by Dice there."""

    @property
    def _preparation(self) -> VolumePreparation:
        preparation = self.bundle.preparation
        assert isinstance(preparation, VolumePreparation)  # noqa: S101 - `kinds.learner_of` chose by it
        return preparation

    def _prepare(self, case: Case) -> PreparedVolume:
        assert case.label is not None  # noqa: S101 - callers pass labelled cases only
        label = self._preparation.to_network(case.label.astype(np.float32), case.spacing) >= 0.5
        return PreparedVolume(
            image=self._preparation.image(case.image, case.spacing).astype(np.float16),
            label=label.astype(np.float16),
            inside=np.argwhere(label),
        )

    def _batch(
        self, prepared: Sequence[PreparedVolume], draws: np.random.Generator, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a patient, each alike, then a patch around one of their voxels."""
        size, patch = self.setting.batch_size, self._preparation.patch
        images, labels = [], []
        for position in range(size):
            case = prepared[int(draws.integers(len(prepared)))]
            if position < self.setting.tumour_share * size and len(case.inside):
                middle = case.inside[int(draws.integers(len(case.inside)))]
            else:
                middle = np.array([int(draws.integers(extent)) for extent in case.image.shape])
            start = [int(at) - extent // 2 for at, extent in zip(middle, patch, strict=True)]
            images.append(cut(case.image.astype(np.float32), start, patch)[None])
            labels.append(cut(case.label.astype(np.float32), start, patch)[None])
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels))

    def _outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        return logit(super()._outputs(inputs))

    def _loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return overlap_loss(outputs, targets)

    def _judge(self, case: Case) -> Outcome:
        assert case.label is not None  # noqa: S101 - `evaluate` passes labelled cases only
        return (dice(self._predict(case), case.label),)
