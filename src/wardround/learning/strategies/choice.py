"""From what a plan says to the strategy that does it."""

from __future__ import annotations

from wardround.contracts.algorithm import (
    Algorithm,
    Cyclic,
    Ditto,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedBN,
    FedProx,
    FedYogi,
    Merge,
    Scaffold,
)
from wardround.learning.strategies import control
from wardround.learning.strategies.adaptive import Adagrad, Adam, Yogi
from wardround.learning.strategies.averaging import Averaging
from wardround.learning.strategies.strategy import Strategy


def strategy_of(algorithm: Algorithm) -> Strategy:
    """The hub's part of an algorithm."""
    match algorithm:
        case FedAvg() | FedProx() | FedBN() | Ditto() | Cyclic() | Merge():
            return Averaging()
        case FedAdam():
            return Adam(rate=algorithm.server_rate, beta1=algorithm.beta1, tau=algorithm.tau, beta2=algorithm.beta2)
        case FedYogi():
            return Yogi(rate=algorithm.server_rate, beta1=algorithm.beta1, tau=algorithm.tau, beta2=algorithm.beta2)
        case FedAdagrad():
            return Adagrad(rate=algorithm.server_rate, beta1=algorithm.beta1, tau=algorithm.tau)
        case Scaffold():
            return control.Scaffold(rate=algorithm.server_rate)


def proximal_weight(algorithm: Algorithm) -> float:
    """How strongly a site's training is held back to the weights that it began a round with; 0: not at all."""
    return algorithm.mu if isinstance(algorithm, FedProx) else 0.0
