"""What happens to an update before it leaves a hospital: one table of steps, in the one order that there is.

A plan asks for some of the steps and a policy demands some; neither can change their order, nor leave out those that
are always done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Chosen = Literal["clip", "noise", "mask", "quantise"]
"""Steps that are done where the plan asks for them, or this hospital does."""

StepName = Literal["agreed-parameters", "delta", Chosen, "size-check", "log"]


@dataclass(frozen=True)
class Step:
    """`does`: in words, for people. `where`: the learning process, which has no way to the network, or the node's own.
    `keeps`: what a hospital has of it."""

    does: str
    where: Literal["learning", "node"]
    keeps: str


STEPS: Mapping[StepName, Step] = {
    "agreed-parameters": Step(
        "only the weights of the agreed network, by name, shape and type, all finite",
        "learning",
        "nothing that isn't a weight of the model goes along",
    ),
    "delta": Step(
        "what changed since the weights that the round began with",
        "learning",
        "the later steps bound and hide the change alone",
    ),
    "clip": Step(
        "cut to a Euclidean norm of at most `clip_norm`", "learning", "a bound on what one update can move, or tell"
    ),
    "noise": Step(
        "Gaussian noise of `noise_multiplier` times that norm on every weight",
        "learning",
        "what one hospital changed drowns, for whoever sees its update or the model",
    ),
    "mask": Step(
        "masks added that cancel in the sum of all hospitals", "node", "the hub sees the sum and no single update"
    ),
    "quantise": Step("eight bits for each weight", "learning", "fewer bytes; no privacy is claimed for it"),
    "size-check": Step(
        "no larger and no more often than was approved", "node", "what doesn't fit the approval stays here"
    ),
    "log": Step(
        "its digest on the ledger, its size in the egress log", "node", "nothing leaves that isn't on the record first"
    ),
}
"""In the order in which they are done."""

CHOSEN: tuple[Chosen, ...] = get_args(Chosen)


def in_order(chosen: Iterable[Chosen]) -> tuple[StepName, ...]:
    """The steps of an update for which these were chosen, in their order, with those that are always done."""
    wanted = set(chosen)
    return tuple(name for name in STEPS if name in wanted or name not in CHOSEN)
