"""How models are judged: a closed list of metrics, each with what is better and what it can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

MetricName = Literal["dice", "auc", "accuracy", "mae", "c_index"]

Value = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
"""A metric's value; none is below 0."""


@dataclass(frozen=True)
class Metric:
    """words: what pages and tables call it. larger_is_better: and its largest value is 1; else it has no largest."""

    words: str
    larger_is_better: bool = True


METRICS: Mapping[MetricName, Metric] = MappingProxyType(
    {
        "dice": Metric("Dice"),
        "auc": Metric("AUC"),
        "accuracy": Metric("accuracy"),
        "mae": Metric("mean absolute error", larger_is_better=False),
        "c_index": Metric("C-index"),
    }
)


def check_value(name: MetricName, value: float) -> None:
    """Raises `ValueError` where the metric can't have that value."""
    if not value >= 0 or (METRICS[name].larger_is_better and value > 1):
        raise ValueError(f"{METRICS[name].words} can't be {value:g}")


def is_better(name: MetricName, value: float, other: float) -> bool:
    """Whether `value` is better than `other`."""
    return value > other if METRICS[name].larger_is_better else value < other


def reaches(name: MetricName, value: float | None, target: float | None) -> bool:
    """Whether `value` is as good as `target`; not where either isn't there."""
    return value is not None and target is not None and not is_better(name, target, value)
