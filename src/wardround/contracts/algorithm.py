"""How a run's rounds become one model: a closed choice, each with its own numbers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from wardround.contracts.base import Frozen

AlgorithmName = Literal["fedavg"]


class FedAvg(Frozen):
    """The mean of the sites' weights, each by its number of patients (McMahan et al., AISTATS 2017)."""

    name: Literal["fedavg"] = "fedavg"

    def in_words(self) -> str:
        return "fedavg"


def _by_name(value: Any) -> Any:
    """A name alone stands for that algorithm with its usual numbers."""
    return {"name": value} if isinstance(value, str) else value


Algorithm = Annotated[FedAvg, BeforeValidator(_by_name)]
