"""How a round's updates are put together where a hospital may send what harms: a closed choice, with its numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wardround.contracts.base import Frozen

RobustName = Literal["norm-bound", "trimmed-mean", "median", "multi-krum"]


class NormBound(Frozen):
    """The weighted mean, with what each site changed cut to a Euclidean norm of at most `largest` (Sun, Kairouz,
    Suresh, McMahan: Can You Really Backdoor Federated Learning?, 2019)."""

    name: Literal["norm-bound"] = "norm-bound"
    largest: float = Field(gt=0, le=1e6, allow_inf_nan=False)

    @property
    def least_updates(self) -> int:
        """How many updates a round has to have."""
        return 1

    def in_words(self) -> str:
        return f"each site's change cut at the hub to a norm of {self.largest:g}"


class TrimmedMean(Frozen):
    """Of every weight the mean without the `trimmed` largest and smallest values, each site counting once (Yin, Chen,
    Ramchandran, Bartlett: Byzantine-Robust Distributed Learning, ICML 2018). It withstands that many hostile sites."""

    name: Literal["trimmed-mean"] = "trimmed-mean"
    trimmed: int = Field(default=1, ge=1, le=100)

    @property
    def least_updates(self) -> int:
        return 2 * self.trimmed + 1

    def in_words(self) -> str:
        return f"of every weight the {self.trimmed} largest and smallest values left out, each site counting once"


class Median(Frozen):
    """Of every weight the median, each site counting once (Yin et al., ICML 2018)."""

    name: Literal["median"] = "median"

    @property
    def least_updates(self) -> int:
        return 3

    def in_words(self) -> str:
        return "the median of every weight, each site counting once"


class MultiKrum(Frozen):
    """The mean of those updates that lie nearest to most others, all but `hostile` of them, each counting once
    (Blanchard, El Mhamdi, Guerraoui, Stainer: Machine Learning with Adversaries, NeurIPS 2017)."""

    name: Literal["multi-krum"] = "multi-krum"
    hostile: int = Field(default=1, ge=1, le=100)

    @property
    def least_updates(self) -> int:
        return 2 * self.hostile + 3

    def in_words(self) -> str:
        return f"the {self.hostile} updates that lie farthest from the others left out, each site counting once"


Robust = Annotated[NormBound | TrimmedMean | Median | MultiKrum, Field(discriminator="name")]
