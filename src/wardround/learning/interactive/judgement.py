"""Whether a trained network answers clicks better than distance alone, as simulated readers find. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wardround.learning.interactive import geodesic
from wardround.learning.interactive.canvas import Canvas
from wardround.learning.interactive.mark import Mark
from wardround.learning.interactive.network import ClickNetwork
from wardround.learning.interactive.simulation import next_click
from wardround.learning.metrics import dice

CLICKS = 5
"""That each reader makes on an image."""

Outliner = Callable[[Sequence[Mark], Sequence[Mark]], NDArray[np.bool_]]
"""What clicks inside and outside, (z, y, x) each, mean on an image."""


@dataclass(frozen=True, eq=False)
class Outlined:
    """An image (Z, Y, X), what is outlined in it, and millimetres of a voxel along (z, y, x)."""

    image: NDArray[np.float32] = field(repr=False)
    label: NDArray[np.bool_] = field(repr=False)
    spacing: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Dice, a mean over images and over what was found after each click but none: without one, distance has nothing."""

    network: float
    distance: float

    @property
    def better(self) -> bool:
        """Whether the network is to be preferred."""
        return self.network > self.distance


def read_by_clicks(outline: Outliner, wanted: NDArray[np.bool_], clicks: int) -> list[float]:
    """Dice after each number of clicks, from none to `clicks`."""
    inside: list[Mark] = []
    outside: list[Mark] = []
    found = outline(inside, outside)
    told = [dice(found, wanted)]
    for _ in range(clicks):
        click = next_click(wanted, found)
        if click is not None:
            (inside if click.inside else outside).append(click.place)
            found = outline(inside, outside)
        told.append(dice(found, wanted))
    return told


def by_distance(one: Outlined) -> Outliner:
    coarse = geodesic.Coarse.of(one.image, one.spacing)
    return lambda inside, outside: geodesic.outline(coarse, inside, outside)


def by_network(one: Outlined, network: ClickNetwork) -> Outliner:
    canvas = Canvas.of(one.image, one.spacing)
    return lambda inside, outside: network.outline(canvas, inside, outside)


def judged(images: Sequence[Outlined], network: ClickNetwork) -> Judgement:
    """Have the same reader outline each image with either, at least one of them."""
    return Judgement(
        _mean([read_by_clicks(by_network(one, network), one.label, CLICKS) for one in images]),
        _mean([read_by_clicks(by_distance(one), one.label, CLICKS) for one in images]),
    )


def _mean(told: Sequence[Sequence[float]]) -> float:
    return float(np.mean([after[1:] for after in told]))
