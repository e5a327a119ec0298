"""How well a model betrays whom it was trained on, by how much better it does on them.

Yeom, Giacomelli, Fredrikson, Jha: Privacy Risk in Machine Learning, CSF 2018: an attacker who has the model and a
patient's data calls those trained on whose loss is small. One half is guessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wardround.contracts.metric import MetricName
from wardround.learning.metrics import auc

STEP = 5
"""What is told is rounded to so many per cent: the exact number is a ratio of small numbers of people."""


def betrayal(
    metric: MetricName, trained: Mapping[str, Sequence[float]], held_out: Mapping[str, Sequence[float]]
) -> int | None:
    """In how many per cent of pairs the patient who was trained on is the one on whom the model does better, to the
    next multiple of `STEP`; 50 tells nothing. None where there is no pair, or the metric has no value of one patient.
    """
    if metric == "c_index":
        return None
    inside = np.array([_fit(metric, one) for one in trained.values()], np.float64)
    outside = np.array([_fit(metric, one) for one in held_out.values()], np.float64)
    found = auc(np.concatenate([inside, outside]), np.arange(len(inside) + len(outside)) < len(inside))
    # A half is one whichever side it is reached from.
    return None if found is None else STEP * round(round(100 * found / STEP, 9))


def _fit(metric: MetricName, outcome: Sequence[float]) -> float:
    """How well the model does on one patient; only the order counts."""
    if metric == "auc":
        score, positive = outcome
        return score if positive else -score
    return -outcome[0] if metric == "mae" else outcome[0]
