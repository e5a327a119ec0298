"""Whom a model was trained on, told from the model: by its loss alone, and beside models like it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from _heart import Rows
from numpy.typing import NDArray
from torch.nn import functional

from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.learning.accounting import Spending, epsilon_of
from wardround.learning.guard import Guard
from wardround.learning.metrics import auc
from wardround.learning.privacy import clipped, noised

DELTA = 1e-3
"""Below one patient in the 200 or so that a model is trained on."""
STEPS, BATCH, RATE = 400, 32, 5e-3
SAMPLE_RATE = 0.1
ROUNDS = 10

Train = Callable[[Rows, int], torch.nn.Module]


@dataclass(frozen=True)
class Figures:
    """How well an attack tells members: area under its ROC curve, the best balanced accuracy that some threshold gives,
    and the share of members found where one in a hundred others is accused."""

    auc: float
    balanced: float
    found: float


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    layers = (torch.nn.Linear(13, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU())
    return torch.nn.Sequential(*layers, torch.nn.Linear(64, 1))


def plainly(rows: Rows, seed: int) -> torch.nn.Module:
    return _descended(network(seed), rows, seed, STEPS)


def noisily(norm: float, noise: float) -> Train:
    """In rounds, what each changed cut to `norm` with noise of `noise` times that, as a hospital's updates are."""

    def train(rows: Rows, seed: int) -> torch.nn.Module:
        module = network(seed)
        for number in range(ROUNDS):
            before = {name: one.detach().clone() for name, one in module.named_parameters()}
            _descended(module, rows, seed * ROUNDS + number, STEPS // ROUNDS)
            moved = {name: (one.detach() - before[name]).numpy() for name, one in module.named_parameters()}
            secret = np.random.default_rng([seed, number]).bytes(32)
            cut = clipped(moved, norm)
            left = noised(cut, noise * norm, secret) if noise else cut
            with torch.no_grad():
                for name, one in module.named_parameters():
                    one.copy_(before[name] + torch.from_numpy(left[name]))
        return module

    return train


def guarded(epsilon: float, steps: int = 200) -> Train:
    """By DP-SGD to just within an epsilon."""
    sigma = _noise_for(epsilon, steps)

    def train(rows: Rows, seed: int) -> torch.nn.Module:
        module = network(seed)
        privacy = PatientPrivacy(
            epsilon=epsilon, delta=DELTA, noise_multiplier=sigma, sample_rate=SAMPLE_RATE, max_grad_norm=1.0
        )
        guard = Guard(privacy, SAMPLE_RATE * len(rows), np.random.default_rng([seed, 7]).bytes(32))
        optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
        patients = list(zip(rows.features[:, None], rows.labels[:, None], strict=True))

        def backward(of: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
            optimiser.zero_grad(set_to_none=True)
            loss = functional.binary_cross_entropy_with_logits(module(of[0][0]), of[0][1])
            loss.backward()
            return float(loss.detach())

        for step in range(steps):
            guard.gradients(module, patients, backward, step)
            optimiser.step()
        return module

    return train


def attacked(train: Train, pool: Rows, models: int) -> tuple[Figures, Figures, float]:
    """By the loss alone, by likelihood beside the other models, and how many of those left out the models get right.

    Each of `models` models is trained on another random half of `pool`; each in turn is attacked, and the others are
    the attacker's own (LiRA: Carlini et al., Membership Inference Attacks From First Principles, IEEE S&P 2022).
    """
    inside = np.array([np.random.default_rng([3, number]).random(len(pool)) < 0.5 for number in range(models)])
    scores, right = [], []
    for number in range(models):
        module = train(pool.pick(np.flatnonzero(inside[number])), number)
        with torch.no_grad():
            logits = module(pool.features)[:, 0]
        answer = pool.labels[:, 0] > 0.5
        scores.append(torch.where(answer, logits, -logits).double().numpy())
        right.append(float(((logits > 0) == answer)[~inside[number]].double().mean()))
    table = np.array(scores)
    by_loss = [_figures(table[number], inside[number]) for number in range(models)]
    by_likelihood = [_figures(_likelihood(table, inside, number), inside[number]) for number in range(models)]
    return _mean(by_loss), _mean(by_likelihood), float(np.mean(right))


def _likelihood(table: NDArray[np.float64], inside: NDArray[np.bool_], target: int) -> NDArray[np.float64]:
    """The logarithm of how much likelier each patient's score is from a model that had them."""
    others = np.arange(len(table)) != target
    told = []
    for had in (True, False):
        seen = np.ma.array(table[others], mask=inside[others] != had)
        middle, spread = seen.mean(0).filled(0.0), np.sqrt(seen.var()) + 1e-6
        told.append(-(((table[target] - middle) / spread) ** 2) / 2 - np.log(spread))
    return np.asarray(told[0] - told[1], np.float64)


def _figures(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> Figures:
    thresholds = np.unique(scores)
    true = np.array([(scores[members] >= one).mean() for one in thresholds])
    false = np.array([(scores[~members] >= one).mean() for one in thresholds])
    few = true[false <= 0.01]
    area = auc(scores, members)
    return Figures(0.5 if area is None else area, float(((true + 1 - false) / 2).max()), float(few.max(initial=0.0)))


def _mean(found: Sequence[Figures]) -> Figures:
    return Figures(*(float(np.mean([getattr(one, name) for one in found])) for name in ("auc", "balanced", "found")))


def _descended(module: torch.nn.Module, rows: Rows, seed: int, steps: int) -> torch.nn.Module:
    draws = np.random.default_rng([seed, 1])
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    for _ in range(steps):
        batch = rows.pick(draws.integers(len(rows), size=BATCH))
        loss = functional.binary_cross_entropy_with_logits(module(batch.features), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module


def _noise_for(epsilon: float, steps: int) -> float:
    low, high = 0.3, 100.0
    for _ in range(20):
        middle = (low * high) ** 0.5
        if epsilon_of([Spending(middle, SAMPLE_RATE, steps)], DELTA) > epsilon:
            low = middle
        else:
            high = middle
    return high
