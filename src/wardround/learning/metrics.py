"""How well a mask agrees with a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def dice(predicted: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """The Dice coefficient of two masks of one volume, 2|A∩B| / (|A| + |B|), from 0 to 1.

    Both masks empty is full agreement, 1; only one of them empty is 0. (Dice, Ecology 26(3), 1945.)

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"the masks differ in shape: {predicted.shape} and {reference.shape}")
    found, wanted = np.asarray(predicted, bool), np.asarray(reference, bool)
    size = int(np.count_nonzero(found)) + int(np.count_nonzero(wanted))
    return 1.0 if size == 0 else 2.0 * int(np.count_nonzero(found & wanted)) / size


def mean_over_patients(values: Mapping[str, float]) -> float:
    """The plain mean, every patient counting alike.

    Raises:
        ValueError: there is no patient.
    """
    if not values:
        raise ValueError("a mean over patients needs at least one patient")
    return math.fsum(values.values()) / len(values)
