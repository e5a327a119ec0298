"""A small network that outlines from clicks. Needs torch.

It works on a grid of a bounded number of voxels, so that a click is answered at once whatever the image; the outline is
brought back to the image's own grid (`canvas`). `lessons` trains it on a hospital's own labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wardround.learning.arrays import Arrays, check, from_bytes
from wardround.learning.interactive.canvas import Canvas, told
from wardround.learning.interactive.correction import corrected
from wardround.learning.interactive.mark import Mark, kept_to
from wardround.learning.interactive.unet import unet
from wardround.learning.runtime import Fastest

PASSES = 4


class ClickNetwork:
    """`threads` sets torch's number of threads for the whole process."""

    def __init__(self, arrays: Arrays, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._module = unet(0)
        check(arrays, like={name: value.numpy() for name, value in self._module.state_dict().items()})
        self._module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})
        self._module.eval()
        self._runs = Fastest(self._module, threads)

    @classmethod
    def of(cls, data: bytes, threads: int = 1) -> ClickNetwork:
        """From the bytes of `lessons.trained`. Raises `ArraysRefused` where they aren't this network's weights."""
        return cls(from_bytes(data), threads)

    def outline(self, canvas: Canvas, foreground: Sequence[Mark], background: Sequence[Mark]) -> NDArray[np.bool_]:
        """What the clicks (z, y, x) mean, bool on the image's own grid, and true to each."""
        placed = [[canvas.place(mark) for mark in marks] for marks in (foreground, background)]
        with torch.inference_mode():
            logits = self._runs(inputs(canvas, *placed))[0, 0].numpy()
        found = canvas.outline(corrected(logits, canvas.values, canvas.steps, *placed))
        kept_to(found, foreground, background)
        return found

    def doubt(self, canvas: Canvas) -> float:
        """How much the network disagrees with itself without a click, 0 to 1: the mean over what any of its passes
        under dropout outlines of the entropy of their mean (Gal and Ghahramani, ICML 2016)."""
        asked = inputs(canvas, (), ())
        for part in self._module.modules():
            if isinstance(part, nn.Dropout3d):
                part.train()
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            drawn = torch.stack([torch.sigmoid(self._module(asked)) for _ in range(PASSES)])
        self._module.eval()
        mean = drawn.mean(0).clamp(1e-6, 1 - 1e-6)
        entropy = -(mean * mean.log2() + (1 - mean) * (1 - mean).log2())
        where = (drawn > 0.5).any(0)
        return float(entropy[where].mean()) if bool(where.any()) else 1.0


def inputs(canvas: Canvas, foreground: Sequence[Mark], background: Sequence[Mark]) -> torch.Tensor:
    """(1, `CHANNELS`, Z, Y / 2, X / 2), of clicks (z, y, x) on the canvas."""
    return torch.from_numpy(told(canvas.values, canvas.steps, foreground, background))[None]
