"""How the click network learns from labels, with clicks as a reader makes them (`simulation`). Needs torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from wardround.learning.arrays import from_bytes, to_bytes
from wardround.learning.interactive.canvas import Canvas, told
from wardround.learning.interactive.mark import Mark
from wardround.learning.interactive.simulation import next_click
from wardround.learning.interactive.unet import unet
from wardround.learning.segmenter import overlap_loss

CLICKS = 10
"""That a sitting has at most."""
COARSE = 0.5
"""The share of training from nothing that sees each slice at half its width, which takes a quarter of the time."""
SITTINGS = 8
"""Images that are outlined in turn, so that steps after one another are of different ones."""
RATE, RATE_GOING_ON = 3e-3, 1e-3
TURNED, ZOOMED = 0.2, 0.15
"""Radians by which images are turned, and how much larger or smaller they are made: the spread of both."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """An image with its label on the network's grid."""

    image: torch.Tensor = field(repr=False)
    label: torch.Tensor = field(repr=False)
    steps: tuple[float, float, float]

    @classmethod
    def of(cls, image: NDArray[np.float32], label: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Lesson:
        canvas = Canvas.of(image, spacing)
        return cls(torch.from_numpy(canvas.values), torch.from_numpy(canvas.laid(label)), canvas.steps)

    def halved(self) -> Lesson:
        """With half the rows and half the columns."""
        image, label = functional.avg_pool3d(torch.stack([self.image, self.label]), (1, 2, 2))
        z, y, x = self.steps
        return Lesson(image, label, (z, 2 * y, 2 * x))

    def varied(self, draws: np.random.Generator) -> Lesson:
        """As another patient's might be: mirrored, turned, of another size and brightness."""
        image, label = self.image, self.label
        if draws.random() < 0.5:
            image, label = image.flip(-1), label.flip(-1)
        angle, zoom = draws.normal(0, TURNED), math.exp(draws.normal(0, ZOOMED))
        rows, columns = image.shape[1:]
        cosine, sine, wide = math.cos(angle) * zoom, math.sin(angle) * zoom, rows / columns
        matrix = torch.tensor([[[cosine, -sine * wide, 0], [sine / wide, cosine, 0]]], dtype=torch.float32)
        where = functional.affine_grid(matrix, [1, 1, rows, columns], align_corners=False)
        low = image.min()
        both = torch.stack([image - low, label]).reshape(1, -1, rows, columns)
        turned = functional.grid_sample(both, where, align_corners=False).reshape(2, *image.shape)
        if bool((turned[1] >= 0.5).any()):
            image, label = turned[0] + low, turned[1]
        image = image * float(draws.uniform(0.8, 1.25)) + float(draws.uniform(-0.1, 0.1))
        return Lesson(image, label, self.steps)


class _Sitting:
    """A reader before one image: each time the network has outlined it, another click follows, until they get up."""

    def __init__(self, lesson: Lesson, draws: np.random.Generator) -> None:
        self._lesson = lesson
        self._clicks: tuple[list[Mark], list[Mark]] = ([], [])
        self._left = int(draws.integers(CLICKS + 1))
        self._draws = draws
        self.label = lesson.label[None, None]

    def asked(self) -> torch.Tensor:
        return torch.from_numpy(told(self._lesson.image.numpy(), self._lesson.steps, *self._clicks))[None]

    def goes_on(self, logits: torch.Tensor) -> bool:
        """Whether another click was made on what the network found."""
        self._left -= 1
        if self._left < 0:
            return False
        click = next_click(self._lesson.label.numpy() >= 0.5, (logits[0, 0] > 0).numpy(), self._draws)
        if click is None:
            return False
        self._clicks[0 if click.inside else 1].append(click.place)
        return True


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

    Each step is one image with the clicks made on it so far: none at first. What the network outlines in it is learned
    from, and is what the next click corrects, so that no pass is made for the clicks alone. What is large is learned
    first, on coarse slices.

    Args:
        begin: weights to go on from.
        progress: told the steps done and the mean loss so far.
    """
    torch.set_num_threads(threads)
    module = unet(seed)
    if begin is not None:
        module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in from_bytes(begin).items()})
    draws = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(module.parameters(), weight_decay=1e-2)
    rate = RATE if begin is None else RATE_GOING_ON
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 2), pct_start=0.15)
    total = 0.0
    # Three times as fast where the processor has tiles for it (Intel AMX), and slower where it hasn't.
    halves = torch.cpu._is_amx_tile_supported()

    coarse = int(steps * COARSE) if begin is None else 0
    given = [one.halved() for one in lessons] if coarse else lessons

    def sits_down() -> _Sitting:
        return _Sitting(given[int(draws.integers(len(given)))].varied(draws), draws)

    sittings = [sits_down() for _ in range(min(SITTINGS, steps))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module.train()
        for step in range(steps):
            if step == coarse > 0:
                given = lessons
                sittings = [sits_down() for _ in sittings]
            sitting = sittings[step % len(sittings)]
            with torch.autocast("cpu", torch.bfloat16, enabled=halves):
                logits = module(sitting.asked()).float()
            loss = overlap_loss(logits, sitting.label)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            torch.nn.utils.clip_grad_norm_(module.parameters(), 2.0)
            optimiser.step()
            schedule.step()
            if not sitting.goes_on(logits.detach()):
                sittings[step % len(sittings)] = sits_down()
            total += float(loss.detach())
            progress(step + 1, total / (step + 1))
    return to_bytes({name: value.numpy() for name, value in module.state_dict().items()})
