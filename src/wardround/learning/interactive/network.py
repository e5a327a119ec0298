"""A small network that outlines from clicks: image, foreground and background clicks in, one logit out. Needs torch.

It works on a coarse grid of one size for every image, so that a click is answered in a tenth of a second on two cores;
the outline is brought back to the image's own grid. Trained on a hospital's own labels with clicks as a reader makes
them (`simulation`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from wardround.learning.arrays import Arrays, check, from_bytes, to_bytes
from wardround.learning.interactive.geodesic import Coarse, Mark, pooled, spread_out
from wardround.learning.interactive.simulation import next_click
from wardround.learning.segmenter import overlap_loss

CHANNELS = (12, 24, 48)
DROPOUT = 0.1
PASSES = 6
CLICKS = 4
"""Corrections that are simulated at most before a step of training."""

_WIDTH_MM = 6.0
"""How far a click is told to reach."""


@dataclass(frozen=True)
class Prepared:
    """An image for the network, kept between the clicks on it."""

    coarse: Coarse = field(repr=False)
    image: torch.Tensor = field(repr=False)


def prepared(image: NDArray[np.float32], spacing: tuple[float, float, float]) -> Prepared:
    """Brightness relative to the image's own: 0 at the median of what isn't dark, 1 a robust spread above it."""
    coarse = Coarse.of(image, spacing)
    values = coarse.values
    low, high = np.percentile(values, (1.0, 99.5))
    tissue = values[values > low + 0.1 * (high - low)]
    middle = float(np.median(tissue)) if tissue.size else float(low)
    scaled = np.clip((values - middle) / max(float(high) - middle, 1e-6), -2, 2)
    return Prepared(coarse, torch.from_numpy(np.asarray(scaled, np.float32)))


class ClickNetwork:
    """`threads` sets torch's number of threads for the whole process."""

    def __init__(self, arrays: Arrays, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._module = _module(0)
        have = {name: value.numpy() for name, value in self._module.state_dict().items()}
        check(arrays, like=have)
        self._module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})
        self._module.eval()

    @classmethod
    def of(cls, data: bytes, threads: int = 1) -> ClickNetwork:
        """From the bytes of `trained`. Raises `ArraysRefused` where they aren't this network's weights."""
        return cls(from_bytes(data), threads)

    def outline(self, image: Prepared, foreground: Sequence[Mark], background: Sequence[Mark]) -> NDArray[np.bool_]:
        """What the clicks (z, y, x) mean, bool on the image's own grid."""
        with torch.inference_mode():
            logits = self._module(_inputs(image, foreground, background)[None])[0, 0]
        return spread_out(logits.numpy(), image.coarse) > 0

    def doubt(self, image: NDArray[np.float32], spacing: tuple[float, float, float]) -> float:
        """How much the network disagrees with itself without a click, 0 to 1: the mean over what any of its passes
        under dropout outlines of the entropy of their mean (Gal and Ghahramani, ICML 2016)."""
        inputs = _inputs(prepared(image, spacing), (), ())[None]
        for part in self._module.modules():
            if isinstance(part, nn.Dropout3d):
                part.train()
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            drawn = torch.stack([torch.sigmoid(self._module(inputs))[0, 0] for _ in range(PASSES)])
        self._module.eval()
        mean = drawn.mean(0).clamp(1e-6, 1 - 1e-6)
        entropy = -(mean * mean.log2() + (1 - mean) * (1 - mean).log2())
        where = (drawn > 0.5).any(0)
        return float(entropy[where].mean()) if bool(where.any()) else 1.0


@dataclass(frozen=True, eq=False)
class Lesson:
    """An image with its label on the network's grid."""

    image: Prepared = field(repr=False)
    label: torch.Tensor = field(repr=False)

    @classmethod
    def of(cls, image: NDArray[np.float32], label: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Lesson:
        made = prepared(image, spacing)
        return cls(made, torch.from_numpy(pooled(label.astype(np.float32), made.coarse.block)))


def trained(
    lessons: Sequence[Lesson],
    *,
    steps: int,
    seed: int = 0,
    threads: int = 1,
    begin: bytes | None = None,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> bytes:
    """Weights after so many steps on these lessons, as a file's bytes.

    Each step takes one image, lets the network as it is outline it with up to `CLICKS` corrections, and learns from the
    outline after them.

    Args:
        begin: weights to go on from.
        progress: told the steps done and the mean loss so far.
    """
    torch.set_num_threads(threads)
    module = _module(seed)
    if begin is not None:
        module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in from_bytes(begin).items()})
    draws = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(module.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=max(steps, 2))
    total = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(steps):
            lesson = lessons[int(draws.integers(len(lessons)))]
            inputs = _corrected(module, lesson, draws)
            label = lesson.label[None, None]
            if draws.random() < 0.5:
                inputs, label = inputs.flip(-1), label.flip(-1)
            module.train()
            loss = overlap_loss(module(inputs[None]), label)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
            progress(step + 1, total / (step + 1))
    return to_bytes({name: value.numpy() for name, value in module.state_dict().items()})


def _corrected(module: nn.Module, lesson: Lesson, draws: np.random.Generator) -> torch.Tensor:
    """The network's inputs after a drawn number of simulated clicks."""
    wanted = lesson.label.numpy() >= 0.5
    foreground: list[Mark] = []
    background: list[Mark] = []
    inputs = _coarse_inputs(lesson.image, foreground, background)
    module.eval()
    for _ in range(int(draws.integers(CLICKS + 1))):
        with torch.inference_mode():
            found = (module(inputs[None])[0, 0] > 0).numpy() if foreground else np.zeros(wanted.shape, np.bool_)
        click = next_click(wanted, found, draws)
        if click is None:
            break
        (foreground if click.inside else background).append(click.place)
        inputs = _coarse_inputs(lesson.image, foreground, background)
    image = inputs.clone()
    image[0] = image[0] * float(draws.uniform(0.8, 1.25)) + float(draws.uniform(-0.1, 0.1))
    return image


def _inputs(image: Prepared, foreground: Sequence[Mark], background: Sequence[Mark]) -> torch.Tensor:
    place = image.coarse.place
    return _coarse_inputs(image, [place(mark) for mark in foreground], [place(mark) for mark in background])


def _coarse_inputs(image: Prepared, foreground: Sequence[Mark], background: Sequence[Mark]) -> torch.Tensor:
    """(3, Z, Y, X): the image, then how near each voxel is to a click of either kind, 1 at the click."""
    shape = image.image.shape
    told = torch.zeros((3, *shape))
    told[0] = image.image
    for channel, marks in ((1, foreground), (2, background)):
        for mark in marks:
            along = [
                torch.exp(-(((torch.arange(extent) - at) * step / _WIDTH_MM) ** 2))
                for extent, at, step in zip(shape, mark, image.coarse.steps, strict=True)
            ]
            near = along[0][:, None, None] * along[1][None, :, None] * along[2][None, None, :]
            torch.maximum(told[channel], near, out=told[channel])
    return told


class _Block(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.LeakyReLU(0.1),
            nn.Dropout3d(DROPOUT),
            nn.Conv3d(outputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.LeakyReLU(0.1),
        )


class _Net(nn.Module):
    """A U-Net of three levels (Çiçek et al., 2016) whose first works on every second voxel in the plane."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three = CHANNELS
        self.enter = nn.Conv3d(3, one, (1, 2, 2), stride=(1, 2, 2))
        self.first = _Block(one, one)
        self.second = _Block(one, two)
        self.third = _Block(two, three)
        self.join_second = _Block(three + two, two)
        self.join_first = _Block(two + one, one)
        self.leave = nn.Conv3d(one, 1, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        size = inputs.shape[2:]
        first = self.first(self.enter(_even(inputs)))
        second = self.second(functional.max_pool3d(first, 2, ceil_mode=True))
        third = self.third(functional.max_pool3d(second, 2, ceil_mode=True))
        second = self.join_second(torch.cat([_to(third, second), second], 1))
        first = self.join_first(torch.cat([_to(second, first), first], 1))
        found: torch.Tensor = functional.interpolate(self.leave(first), size, mode="trilinear", align_corners=False)
        return found


def _even(inputs: torch.Tensor) -> torch.Tensor:
    return functional.pad(inputs, (0, inputs.shape[-1] % 2, 0, inputs.shape[-2] % 2))


def _to(inputs: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = functional.interpolate(inputs, like.shape[2:], mode="trilinear", align_corners=False)
    return found


def _module(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _Net()
