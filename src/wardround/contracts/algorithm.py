"""How a run's rounds become one model: a closed choice, each with its own numbers."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from wardround.contracts.base import Frozen, SiteName

AlgorithmName = Literal[
    "fedavg", "fedprox", "fedbn", "fedadam", "fedyogi", "fedadagrad", "scaffold", "ditto", "cyclic", "merge"
]

Rate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Tau = Annotated[float, Field(ge=1e-10, le=1, allow_inf_nan=False)]


class _Chosen(Frozen):
    """An algorithm's name, and whatever numbers it has."""

    name: str

    sent: ClassVar[int] = 1
    """How many numbers an update holds for each weight that travels."""

    def in_words(self) -> str:
        numbers = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in self if key != "name")
        return f"{self.name} ({numbers})" if numbers else self.name


class FedAvg(_Chosen):
    """The mean of the sites' weights, each by its number of patients (McMahan et al., AISTATS 2017)."""

    name: Literal["fedavg"] = "fedavg"


class FedProx(_Chosen):
    """As FedAvg, but each site's loss grows with half of `mu` times the squared distance of its weights from those
    that the round began with (Li et al., MLSys 2020)."""

    name: Literal["fedprox"] = "fedprox"
    mu: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 0.01


class FedBN(_Chosen):
    """As FedAvg, but every normalisation layer of the network is each site's own and never leaves it (Li et al., ICLR
    2021). What else stays at home is said by the plan's `layers`."""

    name: Literal["fedbn"] = "fedbn"

    def in_words(self) -> str:
        return f"{self.name}, normalisation layers trained here that never leave"


class _TwoMoments(_Chosen):
    server_rate: Rate = 0.01
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    tau: Tau = 1e-3


class FedAdam(_TwoMoments):
    """The hub steps by Adam, with what the mean of the sites' weights changes for its gradient (Reddi et al., ICLR
    2021). `server_rate` is the hub's learning rate, `beta1` and `beta2` are the decays of its two moments, `tau` bounds
    how much smaller changes are stretched."""

    name: Literal["fedadam"] = "fedadam"


class FedYogi(_TwoMoments):
    """As `FedAdam`, with a second moment that shrinks no faster than it grows (Reddi et al., ICLR 2021)."""

    name: Literal["fedyogi"] = "fedyogi"


class FedAdagrad(_Chosen):
    """As `FedAdam`, with a second moment that only grows (Reddi et al., ICLR 2021)."""

    name: Literal["fedadagrad"] = "fedadagrad"
    server_rate: Rate = 0.1
    beta1: Decay = 0.0
    tau: Tau = 1e-3


class Scaffold(_Chosen):
    """Control variates take out of each site's steps what leads them away from the others' (Karimireddy et al., ICML
    2020, option II). A site keeps its own variates; how they changed leaves beside its weights, in the same update,
    which is twice as large for it. Sites step by plain gradient descent, `local_rate` falling as the package's setting
    has its own rate fall. `server_rate` 1 takes the average as it is."""

    name: Literal["scaffold"] = "scaffold"
    local_rate: Rate = 0.2
    server_rate: Rate = 1.0

    sent: ClassVar[int] = 2

    def in_words(self) -> str:
        return f"{super().in_words()}, control variates in each update beside the weights"


class Ditto(_Chosen):
    """As FedAvg, and beside the model of all each site trains one of its own, which never leaves and is held to that of
    all: its loss grows with half of `strength` times the squared distance (Li, Hu, Beirami, Smith, ICML 2021)."""

    name: Literal["ditto"] = "ditto"
    strength: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 0.1

    def in_words(self) -> str:
        return f"{super().in_words()}, a personal model beside it that never leaves"


class Cyclic(_Chosen):
    """One site after another trains the model within a round, each from what the one before it made (Chang et al.,
    JAMIA 2018). `order` names sites in the order of their turns; without it each round has an order of its own, drawn
    by the plan's seed."""

    name: Literal["cyclic"] = "cyclic"
    order: Annotated[tuple[SiteName, ...], Field(max_length=1000)] = ()

    def in_words(self) -> str:
        order = f"in the order {', '.join(self.order)}" if self.order else "in an order drawn for each round"
        return f"{self.name}, one hospital after another {order}"


class Merge(_Chosen):
    """No rounds together: each site trains the same first weights on its own patients alone for the steps of as many
    rounds as the plan has, and the hub merges the models: their mean, each by its number of patients, and a greedy soup
    (Wortsman et al., ICML 2022), judged at the sites; with `ensemble` all of them side by side as well, whose
    probabilities are averaged. The best of these is the run's model."""

    name: Literal["merge"] = "merge"
    ensemble: bool = Field(default=False, exclude_if=lambda value: not value)

    def in_words(self) -> str:
        both = ", or all of them side by side" if self.ensemble else ""
        return f"{self.name}, of models that hospitals train alone{both}"


def _by_name(value: Any) -> Any:
    """A name alone stands for that algorithm with its usual numbers."""
    return {"name": value} if isinstance(value, str) else value


Algorithm = Annotated[
    Annotated[
        FedAvg | FedProx | FedBN | FedAdam | FedYogi | FedAdagrad | Scaffold | Ditto | Cyclic | Merge,
        Field(discriminator="name"),
    ],
    BeforeValidator(_by_name),
]
