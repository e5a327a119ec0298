"""How a model package is trained and how its output becomes a mask: numbers, read from the bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


class _FromMapping:
    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """From a JSON object. Raises `ValueError` on an unknown name or a value that isn't of its kind."""
        known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]  # the subclasses are dataclasses
        if unknown := sorted(values.keys() - known.keys()):
            raise ValueError(f"unknown names: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        for name, value in values.items():
            kind = type(known[name].default)
            if isinstance(value, bool) is not (kind is bool) or not isinstance(value, (int, kind)):
                raise ValueError(f"{name} is {value!r}, not a {kind.__name__}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is not a finite number")
        return cls(**values)


@dataclass(frozen=True)
class TrainingSetting(_FromMapping):
    """How a site trains between two aggregations, and for how many rounds this was tuned.

    rounds: of a run, where the plan doesn't say otherwise.
    local_steps: optimiser steps per round, the same at every site, so that nobody waits for the largest and the
        number tells nothing of a cohort's size. What a site's update weighs is a matter of its cases.
    batch_size: slices a step.
    learning_rate, final_learning_rate: of AdamW, falling along a cosine over the whole run.
    warmup_steps: at the start of each round, for the moments of an optimiser that begins afresh to settle.
    weight_decay: of AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019).
    tumour_share: share of a batch drawn from slices with tumour; the rest is drawn from all slices.
    augmentation: multiplies every amount of the package's augmentation; less suits short runs.
    """

    rounds: int = 20
    local_steps: int = 30
    batch_size: int = 16
    learning_rate: float = 1e-3
    final_learning_rate: float = 2e-5
    warmup_steps: int = 0
    weight_decay: float = 1e-2
    tumour_share: float = 0.5
    augmentation: float = 1.0


@dataclass(frozen=True)
class Postprocessing(_FromMapping):
    """How probabilities become a mask.

    threshold: a voxel is tumour from this probability on.
    flip: average over the image and its mirror image, left to right.
    smallest_part: connected parts smaller than this share of the largest are dropped.
    """

    threshold: float = 0.5
    flip: bool = False
    smallest_part: float = 0.0


@dataclass(frozen=True)
class Augmentation(_FromMapping):
    """How far the random changes to slices in training go; draws are uniform.

    rotation in degrees, shift in pixels of the grid; scale, gain, gamma and bias as the logarithm of the largest
    factor; noise in multiples of the head's median; upside_down is the share of slices flipped front to back.
    """

    rotation: float = 15.0
    scale: float = 0.15
    shift: float = 5.0
    gain: float = 0.15
    gamma: float = 0.3
    bias: float = 0.2
    noise: float = 0.06
    upside_down: float = 0.0

    def times(self, factor: float) -> Augmentation:
        """The same with every amount, the share upside down too, multiplied by `factor`."""
        return Augmentation(**{field.name: getattr(self, field.name) * factor for field in fields(self)})
