"""When more rounds make a model no better: a plan's rule for ending its run there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from wardround.contracts.base import Frozen
from wardround.contracts.metric import METRICS, MetricName

Gain = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class Plateau(Frozen):
    """The best of the newest `rounds` rounds is better than the best before them by less than `least`, or not at all.

    A rule of "patience" (Prechelt, Early stopping, but when?, 1998, class UP) over a window: what creeps up by little
    in each round is held against the window's whole length.
    """

    rounds: int = Field(ge=1, le=1000)
    least: Gain = 0.0

    def reached(self, metric: MetricName, scores: Sequence[float]) -> bool:
        """Args: scores: of the rounds that were judged, in their order, by that metric."""
        before, newest = scores[: -self.rounds], scores[-self.rounds :]
        if not before:
            return False
        up = METRICS[metric].larger_is_better
        gain = max(newest) - max(before) if up else min(before) - min(newest)
        return gain <= 0 or gain < self.least

    def in_words(self, metric: MetricName) -> str:
        better = f"better by {self.least:g}" if self.least else "any better"
        return f"once the mean {METRICS[metric].words} got not {better} over {self.rounds} rounds"
