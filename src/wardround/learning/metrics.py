"""How good a model is: what each metric needs of one patient, and its value over patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wardround.contracts.metric import MetricName

Outcome = tuple[float, ...]
"""What a metric needs of one patient. `dice`, `accuracy` and `mae`: the patient's own value, as whether the answer was
right (0 or 1), or how far off it was. `auc`: score and class (0 or 1). `c_index`: risk, time, and whether the event
came (0 or 1)."""

WIDTH: Mapping[MetricName, int] = {"dice": 1, "auc": 2, "accuracy": 1, "mae": 1, "c_index": 3}
"""How many numbers an outcome has."""


def over(metric: MetricName, outcomes: Mapping[str, Sequence[float]]) -> float | None:
    """The metric over patients, each counting alike; None where these patients can't tell it: there is none, they are
    of one class only, or no two can be put in order.

    Raises:
        ValueError: an outcome isn't of this metric.
    """
    if any(len(outcome) != WIDTH[metric] for outcome in outcomes.values()):
        raise ValueError(f"an outcome isn't of {metric}, which has {WIDTH[metric]} numbers")
    if not outcomes:
        return None
    columns = np.array([outcomes[name] for name in sorted(outcomes)], dtype=np.float64).T
    match metric:
        case "auc":
            return auc(columns[0], columns[1] > 0)
        case "c_index":
            return concordance(columns[0], columns[1], columns[2] > 0)
        case _:
            return math.fsum(columns[0]) / len(outcomes)


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


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """The area under the ROC curve: of all pairs of a positive and a negative patient, the share in which the positive
    one has the higher score, ties counting half (Hanley and McNeil, Radiology 143(1), 1982); None without a pair."""
    above, below = scores[positive], np.sort(scores[~positive])
    pairs = len(above) * len(below)
    if not pairs:
        return None
    lower, not_higher = np.searchsorted(below, above, "left"), np.searchsorted(below, above, "right")
    return float((lower.sum() + not_higher.sum()) / 2 / pairs)


def concordance(risks: NDArray[np.float64], times: NDArray[np.float64], events: NDArray[np.bool_]) -> float | None:
    """Harrell's C: of the pairs of which it is known whose event came first, the share in which that patient has the
    higher risk, ties of risk counting half (Harrell et al., JAMA 247(18), 1982); None without such a pair.

    It is known where the earlier time ended in the event, or where of two equal times one did and the other didn't.
    """
    pairs, right = 0, 0.0
    for place in np.flatnonzero(events):
        later = (times > times[place]) | ((times == times[place]) & ~events)
        pairs += int(later.sum())
        right += float((risks[place] > risks[later]).sum()) + float((risks[place] == risks[later]).sum()) / 2
    return right / pairs if pairs else None


def mean_over_patients(values: Mapping[str, float]) -> float:
    """The plain mean, every patient counting alike.

    Raises:
        ValueError: there is no patient.
    """
    if not values:
        raise ValueError("a mean over patients needs at least one patient")
    return math.fsum(values.values()) / len(values)
