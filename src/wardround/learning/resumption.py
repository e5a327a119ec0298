"""How training goes on after the process that did it was killed: what it keeps on the way, and takes up again.

A state holds all that the next step follows from: weights, the optimiser's moments, both random generators, the step.
So training that was broken off and taken up gives the very bits of training that wasn't, on the same machine with the
same number of threads. Needs torch.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch


class StateRefused(ValueError):
    """What was kept is no state of this network and its optimiser, as after an upgrade in the middle of a round."""


class Checkpoint(Protocol):
    """Where one round's training keeps how far it came. States are bytes of this module's own making."""

    def begun(self) -> bytes | None:
        """The state of this very round: of the same weights and the same people. None: it begins at its first step."""

    def before(self) -> bytes | None:
        """The state in which the round before ended, with the moments that this one goes on with."""

    def due(self) -> bool:
        """Is it time to keep another state?"""

    def keep(self, state: bytes, *, whole: bool) -> None:
        """Keep a state in place of the last one. `whole`: the round's last step is done."""


@dataclass
class Halfway:
    """What one round's training is made of besides its data; `step` steps are done, `losses` is the sum of theirs."""

    module: torch.nn.Module
    optimiser: torch.optim.Optimizer
    draws: np.random.Generator
    generator: torch.Generator
    step: int = 0
    losses: float = 0.0

    def packed(self) -> bytes:
        """The state, as bytes."""
        content = io.BytesIO()
        torch.save(
            {
                "module": self.module.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "draws": self.draws.bit_generator.state,
                "generator": self.generator.get_state(),
                "torch": torch.get_rng_state(),
                "step": self.step,
                "losses": self.losses,
            },
            content,
        )
        return content.getvalue()

    def take_up(self, state: bytes) -> None:
        """Go on where a state was kept.

        Raises:
            StateRefused: it is no state of this network and optimiser; part of it may have been taken up.
        """
        found = _read(state)
        try:
            self.module.load_state_dict(found["module"])
            _load(self.optimiser, found["optimiser"])
            self.draws.bit_generator.state = found["draws"]
            self.generator.set_state(found["generator"])
            torch.set_rng_state(found["torch"])
            self.step, self.losses = int(found["step"]), float(found["losses"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise StateRefused("it is no state of this network and its optimiser") from error


def take_up_moments(optimiser: torch.optim.Optimizer, state: bytes) -> None:
    """Have a fresh optimiser go on with the moments of a state.

    Raises:
        StateRefused: they are no moments of this network's optimiser.
    """
    found = _read(state)
    try:
        _load(optimiser, found["optimiser"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise StateRefused("they are no moments of this optimiser") from error


def _load(optimiser: torch.optim.Optimizer, moments: dict[str, Any]) -> None:
    """torch asks how many parameters there are, and not whether their moments are of their shapes."""
    optimiser.load_state_dict(moments)
    for parameter, held in optimiser.state.items():
        if any(isinstance(one, torch.Tensor) and one.dim() and one.shape != parameter.shape for one in held.values()):
            raise ValueError("a moment isn't of its parameter's shape")


def _read(state: bytes) -> dict[str, Any]:
    try:
        found = torch.load(io.BytesIO(state), weights_only=True)
    except Exception as error:
        # torch raises what its reader meets: whatever that is, there is no state to go on with.
        raise StateRefused("it can't be read as a state of training") from error
    if not isinstance(found, dict):
        raise StateRefused("it isn't a state of training")
    return found
