"""What an algorithm adds to a site's own training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Steering:
    """Without any of these a site simply trains.

    proximal: the loss grows with half of this times the squared distance from `held_to` (FedProx, Li et al., MLSys
        2020, its mu; Ditto, Li et al., ICML 2021, its lambda).
    held_to: whole weights; None for those that training begins with.
    frozen: names of arrays that aren't trained.
    descent: the rate of plain gradient descent, without weight decay, in place of the package's own optimiser; it falls
        as the setting has its own rate fall. None: the package's own.
    correction: by names of arrays, added to every gradient after that was cut to its largest norm.
    """

    proximal: float = 0.0
    held_to: Mapping[str, NDArray[np.float32]] | None = field(default=None, repr=False)
    frozen: frozenset[str] = frozenset()
    descent: float | None = None
    correction: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)
