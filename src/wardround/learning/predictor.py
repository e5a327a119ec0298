"""Tells one thing of a person, of a row of their records or of a volume: a class, a number or a risk. Needs torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic

import numpy as np
import torch
from numpy.typing import NDArray

from wardround.learning import objective, prediction
from wardround.learning.bundle import Bundle, BundleRefused
from wardround.learning.case import Labelled
from wardround.learning.fact import Target
from wardround.learning.learner import CaseT, Learner
from wardround.learning.metrics import Outcome
from wardround.learning.table import Row

if TYPE_CHECKING:
    from wardround.learning.guard import Guard


@dataclass(frozen=True)
class PreparedPerson:
    """What enters the network of one person, and what it should tell."""

    inputs: NDArray[np.float32]
    target: NDArray[np.float32]


class Predictor(Learner[CaseT, PreparedPerson], Generic[CaseT]):
    """Predicts an array of one number: see `prediction.told`."""

    def __init__(self, bundle: Bundle | Path, threads: int = 1, setting: str = "default") -> None:
        super().__init__(bundle, threads, setting)
        if self.bundle.target is None:
            raise BundleRefused("wrong-kind", f"{self.bundle.name} has no target, which this kind of task tells")
        self._target: Target = self.bundle.target

    def _check_guarded(self, guard: Guard) -> None:
        super()._check_guarded(guard)
        if self._target.kind == "survival":
            raise BundleRefused(
                "mixes-patients",
                "the likelihood of survival compares patients, so that none of them has a part of it to himself; take "
                "noise at the level of the hospital",
            )

    @abstractmethod
    def _wanted(self, case: CaseT) -> tuple[float, ...]:
        """The target of a labelled case."""

    def _prepare(self, case: CaseT) -> PreparedPerson:
        return PreparedPerson(prediction.entering(self.bundle, case), np.array(self._wanted(case), np.float32))

    def _batch(
        self, prepared: Sequence[PreparedPerson], draws: np.random.Generator, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As many different people as a step takes, or all where there are fewer."""
        size = min(self.setting.batch_size, len(prepared))
        drawn = [prepared[int(place)] for place in draws.permutation(len(prepared))[:size]]
        inputs, targets = np.stack([one.inputs for one in drawn]), np.stack([one.target for one in drawn])
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def _loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return objective.loss(self._target, outputs, targets)

    def _judge(self, case: CaseT) -> Outcome:
        return objective.outcome(self.bundle.metric, self._target, self._output(case), self._wanted(case))

    def _output(self, case: CaseT) -> float:
        return float(self._run(prediction.entering(self.bundle, case)[None])[0, 0])


class TablePredictor(Predictor[Row]):
    """Of a person's records."""

    def _wanted(self, case: Row) -> tuple[float, ...]:
        return case.target


class VolumePredictor(Predictor[Labelled]):
    """Of the middle of a volume."""

    def _wanted(self, case: Labelled) -> tuple[float, ...]:
        return case.target
