"""A linear model trained by hospitals over this project's own run protocol, in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from _heart import FEATURES, HOSPITALS, Rows
from torch.nn import functional
from torch.utils.data import DataLoader

from wardround.contracts.robust import Robust
from wardround.federation.engine import (
    Declined,
    LegRequest,
    LegStart,
    LegState,
    Next,
    Participant,
    RoundResult,
    RoundTask,
    RoundUpdate,
    UpdateHeader,
)
from wardround.federation.inprocess import InProcessEngine
from wardround.learning.arrays import Arrays, from_bytes, to_bytes
from wardround.learning.strategies.averaging import Averaging
from wardround.learning.strategies.control import Scaffold, parted, renewed
from wardround.learning.strategies.strategy import Strategy

BATCH = 4
Batches = Sequence[np.ndarray]


@dataclass(frozen=True)
class Local:
    """How a hospital trains in a round: rate of gradient descent, steps, and FedProx's mu."""

    rate: float
    steps: int = 100
    mu: float = 0.0


def initial(seed: int) -> Arrays:
    """The weights that PyTorch begins a linear layer with."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(FEATURES, 1)
    return {name: value.detach().numpy().copy() for name, value in layer.named_parameters()}


def predicted(model: Mapping[str, np.ndarray], rows: Rows) -> torch.Tensor:
    weight, bias = (torch.from_numpy(model[name]) for name in ("weight", "bias"))
    return torch.sigmoid(functional.linear(rows.features, weight, bias))


def accuracy(model: Mapping[str, np.ndarray], rows: Rows) -> float:
    return float(((predicted(model, rows) > 0.5) == (rows.labels > 0.5)).double().mean())


def schedule(sizes: Sequence[int], seed: int, turns: Sequence[Sequence[int]], steps: int) -> list[dict[int, Batches]]:
    """For each round the batches of each hospital whose turn it is, as PyTorch's loaders draw them one after another.

    They are drawn before a run, in the order in which one process would train the hospitals, for here they train at
    the same time.
    """
    loaders = [DataLoader(list(range(size)), batch_size=BATCH, shuffle=True) for size in sizes]
    open_ones = [iter(loader) for loader in loaders]
    torch.manual_seed(seed)
    rounds: list[dict[int, Batches]] = []
    for turn in turns:
        found: dict[int, Batches] = {}
        for hospital in turn:
            batches = []
            while len(batches) < steps:
                try:
                    batches.append(next(open_ones[hospital]).numpy())
                except StopIteration:
                    open_ones[hospital] = iter(loaders[hospital])
            found[hospital] = batches
        rounds.append(found)
    return rounds


def descended(
    model: Arrays,
    rows: Rows,
    batches: Batches,
    local: Local,
    correction: Mapping[str, np.ndarray] | None = None,
    held_to: Mapping[str, np.ndarray] | None = None,
) -> Arrays:
    """The weights after a step of gradient descent on the cross-entropy of each batch.

    `correction` is added to every gradient; `local.mu` holds to `held_to`, which is `model` where it isn't given.
    """
    features, labels = rows.features.numpy(), rows.labels.numpy()
    began = np.concatenate([model["weight"][0], model["bias"]])
    anchor = began if held_to is None else np.concatenate([held_to["weight"][0], held_to["bias"]])
    inputs = np.column_stack([features, np.ones(len(features), np.float32)])
    extra = np.float32(0) if correction is None else np.concatenate([correction["weight"][0], correction["bias"]])
    rate, mu, now = np.float32(local.rate), np.float32(local.mu), began.copy()
    for batch in batches:
        given = inputs[batch]
        with np.errstate(over="ignore"):  # a model that a hostile hospital blew up is as sure as can be
            wrong = 1 / (1 + np.exp(-(given @ now))) - labels[batch, 0]
        now -= rate * (wrong @ given / np.float32(len(batch)) + mu * (now - anchor) + extra)
    return {"weight": now[None, :-1].copy(), "bias": now[-1:].copy()}


@dataclass
class Hospital:
    """Implements `Participant` over one hospital's rows. What it learned it sends times `hostile`; 1 is honest."""

    place: int
    rows: Rows
    local: Local
    rounds: Sequence[Mapping[int, Batches]]
    controlled: bool = False
    hostile: float = 1.0
    own: Arrays = field(default_factory=dict)

    def take_part(self, task: RoundTask) -> RoundUpdate:
        batches = self.rounds[task.round - 1].get(self.place)
        if batches is None:
            raise Declined("not-its-turn")
        told = from_bytes(task.arrays)
        if self.controlled:
            model, control = parted(told)
            own = self.own or {name: np.zeros_like(array) for name, array in model.items()}
            drift = {name: control[name] - own[name] for name in model}
            trained = descended(model, self.rows, batches, self.local, drift)
            self.own, update = renewed(own, told, trained, rates=len(batches) * self.local.rate)
        else:
            trained = descended(told, self.rows, batches, self.local)
            changed = {name: told[name] + np.float32(self.hostile) * (trained[name] - told[name]) for name in told}
            update = trained if self.hostile == 1 else changed
        return RoundUpdate(weight=float(len(self.rows)), metrics={}, steps=len(batches), update=to_bytes(update))

    def finish(self, leg_id: str, reason: str) -> None:
        """Nothing is held."""

    def abort(self, leg_id: str, reason: str) -> None:
        """A round of this model is over before it could be given up."""


class Hub:
    """Implements `Coordinator` over memory: the strategy steps after each whole round, and nothing else happens."""

    def __init__(
        self,
        strategy: Strategy,
        model: Arrays,
        rounds: int,
        quorum: int,
        robust: Robust | None = None,
        *,
        largest_change: float = 0.0,
    ) -> None:
        self._largest_change = largest_change
        self._robust = {} if robust is None else robust.model_dump(mode="json")
        self._strategy = strategy
        self._rounds, self.quorum = rounds, quorum
        self.model, self._state = model, strategy.begin(model)
        self.trail: list[Arrays] = []

    def begin(self, leg_id: str) -> LegStart:
        return LegStart(
            run_id="heart",
            leg_id=leg_id,
            first_round=1,
            total_rounds=self._rounds,
            sites=HOSPITALS,
            quorum=self.quorum,
            deadline_seconds=300,
            plan={},
            arrays=self._told(),
            robust=self._robust,
            largest_change=self._largest_change,
        )

    def admit(self, header: UpdateHeader) -> None:
        """Every update that is sound counts."""

    def commit(self, result: RoundResult) -> Next:
        step = self._strategy.step(self.model, self._state, from_bytes(result.arrays))
        self.model, self._state = step.model, step.state
        self.trail.append(step.model)
        return Next(go_on=True, arrays=self._told())

    def _told(self) -> bytes:
        return to_bytes(self._strategy.told(self.model, self._state))


def federated(
    strategy: Strategy,
    hospitals: Sequence[Rows],
    model: Arrays,
    rounds: Sequence[Mapping[int, Batches]],
    local: Local,
    *,
    robust: Robust | None = None,
    hostile: Mapping[int, float] | None = None,
) -> list[Arrays]:
    """The aggregate after each round of one run, of honest hospitals but those in `hostile`.

    Raises `RuntimeError` where the run doesn't come to its end.
    """
    controlled = isinstance(strategy, Scaffold)
    sites = {
        HOSPITALS[place]: Hospital(place, rows, local, rounds, controlled, (hostile or {}).get(place, 1.0))
        for place, rows in enumerate(hospitals)
    }
    return carried(Hub(strategy, model, len(rounds), min(len(turn) for turn in rounds), robust), sites)


def carried(hub: Hub, sites: Mapping[str, Participant]) -> list[Arrays]:
    """One leg from its first round to its last over the engine of one process; the aggregate after each round."""
    engine = InProcessEngine(hub, sites)
    try:
        engine.start_leg(LegRequest("heart.1", "heart", HOSPITALS, quorum=hub.quorum))
        status = engine.wait("heart.1", timeout=600)
    finally:
        engine.close()
    if status.state is not LegState.FINISHED:
        raise RuntimeError(f"the run ended early: {status.reason}")
    return hub.trail


@dataclass
class Census:
    """Implements `Participant` for one round that asks for the features' means and mean squares."""

    rows: Rows

    def take_part(self, task: RoundTask) -> RoundUpdate:
        moments = {"mean": self.rows.features.mean(0), "square": self.rows.features.square().mean(0)}
        update = to_bytes({name: value.numpy() for name, value in moments.items()})
        return RoundUpdate(weight=float(len(self.rows)), metrics={}, steps=1, update=update)

    def finish(self, leg_id: str, reason: str) -> None:
        """Nothing is held."""

    def abort(self, leg_id: str, reason: str) -> None:
        """Nothing is to be given up."""


def common_units(hospitals: Sequence[Rows]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each feature over all hospitals, from one round of averaging: no row leaves any of them."""
    began = {name: np.zeros(FEATURES, np.float32) for name in ("mean", "square")}
    sites = {HOSPITALS[place]: Census(rows) for place, rows in enumerate(hospitals)}
    (found,) = carried(Hub(Averaging(), began, rounds=1, quorum=len(hospitals)), sites)
    mean, square = (found[name].astype(np.float64) for name in ("mean", "square"))
    spread = np.sqrt(square - mean**2) + 1e-9
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(spread.astype(np.float32))


def trained_alone(model: Arrays, rows: Rows, seed: int, epochs: int = 50) -> Arrays:
    """Adam at 0.001 on these rows, in one place."""
    torch.manual_seed(seed)
    loader = DataLoader(list(range(len(rows))), batch_size=BATCH, shuffle=True)
    now = [torch.from_numpy(model[name]).clone().requires_grad_() for name in ("weight", "bias")]
    optimiser = torch.optim.Adam(now, lr=0.001)
    for _ in range(epochs):
        for batch in loader:
            shown = torch.sigmoid(functional.linear(rows.features[batch], *now))
            optimiser.zero_grad()
            functional.binary_cross_entropy(shown, rows.labels[batch]).backward()
            optimiser.step()
    weight, bias = (one.detach().numpy() for one in now)
    return {"weight": weight, "bias": bias}
