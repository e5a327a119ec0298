"""One round's training with what an algorithm adds to it, over a network's own parameters. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from wardround.learning.steering import Steering

_NORMALISING = (
    torch.nn.modules.batchnorm._NormBase,
    torch.nn.GroupNorm,
    torch.nn.LayerNorm,
    torch.nn.LocalResponseNorm,
    torch.nn.RMSNorm,
)
"""Batch and instance normalisation have the first for their ground."""


class Steered:
    """Adds to a network's gradients, after each `backward`, what `steering` says: `hold` before they are cut to their
    largest norm, `correct` after it.

    Args:
        began: the whole weights that training begins with; loaded already.
    """

    def __init__(self, module: torch.nn.Module, began: Mapping[str, NDArray[np.float32]], steering: Steering) -> None:
        self._strength = steering.proximal
        self._pairs: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
        self._corrections: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
        held_to = began if steering.held_to is None else steering.held_to
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name not in steering.frozen)
            if self._strength and parameter.requires_grad:
                self._pairs.append((parameter, torch.from_numpy(np.array(held_to[name], np.float32))))
            if name in steering.correction:
                self._corrections.append((parameter, torch.from_numpy(np.array(steering.correction[name], np.float32))))

    def hold(self) -> None:
        """Add the proximal term's gradient to the loss's own."""
        for now, held_to in self._pairs:
            if now.grad is not None:
                now.grad.add_(now.detach() - held_to, alpha=self._strength)

    def correct(self) -> None:
        """Add the corrections, as they are, to the gradients."""
        for now, correction in self._corrections:
            if now.grad is not None:
                now.grad.add_(correction)


def normalisation(module: torch.nn.Module) -> frozenset[str]:
    """The names of all weights and buffers that belong to a network's normalisation layers."""
    return frozenset(
        f"{where}.{name}" if where else name
        for where, inner in module.named_modules()
        if isinstance(inner, _NORMALISING)
        for name in inner.state_dict()
    )
