"""Federated averaging: the average is the next model.

McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-Efficient Learning of Deep Networks from Decentralized
Data, AISTATS 2017 (FedAvg). FedProx is the same on the hub; its proximal term is the sites' own work (Li, Sahu, Zaheer,
Sanjabi, Talwalkar, Smith: Federated Optimization in Heterogeneous Networks, MLSys 2020).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wardround.learning.arrays import Arrays, check
from wardround.learning.strategies.strategy import Step


class Averaging:
    """Implements `Strategy` for FedAvg and FedProx."""

    averages = True

    def begin(self, model: Mapping[str, NDArray[np.float32]]) -> Arrays:
        return {}

    def told(self, model: Mapping[str, NDArray[np.float32]], state: Mapping[str, NDArray[np.float32]]) -> Arrays:
        return dict(model)

    def step(
        self,
        model: Mapping[str, NDArray[np.float32]],
        state: Mapping[str, NDArray[np.float32]],
        average: Mapping[str, NDArray[np.float32]],
    ) -> Step:
        check(average, like=model)
        return Step(dict(average), {})
