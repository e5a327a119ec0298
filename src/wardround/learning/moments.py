"""What enters the layers that keep statistics of it, counted over many batches. Needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.merging import MEAN, VARIANCE


class Moments:
    """The mean and the variance of each channel, over all that entered a layer: exact sums in float64, where the layers
    themselves keep a moving average that forgets."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._layers = {
            name: layer
            for name, layer in module.named_modules()
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None
        }
        self._sums: dict[str, torch.Tensor] = {}
        self._squares: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Within it the layers normalise each batch by itself, as in training, and keep nothing of it."""
        before = {name: (layer.training, layer.momentum) for name, layer in self._layers.items()}
        hooks = [layer.register_forward_pre_hook(self._counter(name)) for name, layer in self._layers.items()]
        try:
            for layer in self._layers.values():
                layer.train()
                layer.momentum = 0.0
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for name, layer in self._layers.items():
                layer.training, layer.momentum = before[name]

    def told(self) -> Arrays:
        """By the names of the arrays that the layers keep. Raises `ArraysRefused` (`empty`): nothing entered them."""
        if not self._layers or self._counts.keys() != self._layers.keys():
            raise ArraysRefused("empty", "nothing entered a layer that keeps statistics, so there are none")
        found: Arrays = {}
        for name, count in self._counts.items():
            mean = self._sums[name] / count
            variance = (self._squares[name] / count - mean**2).clamp_min(0)
            found[f"{name}.{MEAN}"] = mean.numpy().astype(np.float32)
            found[f"{name}.{VARIANCE}"] = variance.numpy().astype(np.float32)
        return found

    def _counter(self, name: str) -> Any:
        def count(_layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            entered = inputs[0].detach().double().transpose(0, 1).flatten(1)  # (channels, everything else)
            self._sums[name] = self._sums.get(name, torch.zeros(len(entered))) + entered.sum(1)
            self._squares[name] = self._squares.get(name, torch.zeros(len(entered))) + (entered**2).sum(1)
            self._counts[name] = self._counts.get(name, 0) + entered.shape[1]

        return count
