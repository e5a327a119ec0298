"""A network's outline, corrected where clicks say otherwise.

To a network a click is a hint. By how much it is wrong at the clicks is known, and what is near one, as bright, and as
likely in the network's eyes is wrong by as much: a Gaussian process of its errors, whose mean is added (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, equation 2.25).

Frame: arrays are (Z, Y, X), marks are indices (z, y, x) of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wardround.learning.interactive.canvas import bell
from wardround.learning.interactive.mark import Mark

NEAR_MM, ALIKE, AS_LIKELY = 17.0, 0.5, 4.2
"""How far an error reaches: in space, in the image's brightness, and in the network's logit."""
SURE, SUREST = 4.0, 6.0
"""The logit that a click is worth, and the most that the network's own counts."""
_NOISE = 0.01
_LITTLE = 1e-3


def corrected(
    logits: NDArray[np.float32],
    values: NDArray[np.float32],
    steps: tuple[float, float, float],
    foreground: Sequence[Mark],
    background: Sequence[Mark],
) -> NDArray[np.float32]:
    """The network's logits as they are without a click; with some, at least `SURE` at each, to the side that it says.

    Args:
        values: of the image, on the logits' grid.
        steps: millimetres of the grid.
    """
    marks = [*foreground, *background]
    if not marks:
        return logits
    found = np.clip(logits, -SUREST, SUREST)
    bright, likely = values / np.float32(ALIKE), found / np.float32(AS_LIKELY)
    at = tuple(np.array(marks).T)
    side = np.repeat((1.0, -1.0), (len(foreground), len(background)))
    wrong = side * np.maximum(SURE - side * found[at], 0)
    traits = np.column_stack([np.array(marks) * steps / NEAR_MM, bright[at], likely[at]])
    apart = ((traits[:, None] - traits[None]) ** 2).sum(-1)
    weights = np.linalg.solve(np.exp(-apart) + _NOISE * np.eye(len(marks)), wrong)
    for mark, weight in zip(marks, weights, strict=True):
        if abs(weight) > _LITTLE:
            like = np.exp(-((bright - bright[mark]) ** 2) - (likely - likely[mark]) ** 2)
            found += np.float32(weight) * bell(found.shape, steps, mark, NEAR_MM) * like
    return found
