"""Ditto: each site's personal model is held to the model of all, which doesn't notice it (Li et al., ICML 2021)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.contracts.algorithm import Ditto, FedAvg
from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import Arrays
from wardround.learning.layers import Sharing
from wardround.learning.steering import Steering
from wardround.learning.strategies.site import Train, personal_model, take_turn

RATE, STEPS = 0.1, 4
START = {"w": np.array([1.0, -2.0], np.float32)}
ALL = Sharing(frozenset(START))
sites = st.lists(
    st.tuples(
        st.lists(st.floats(0.5, 3), min_size=2, max_size=2),
        st.lists(st.floats(-5, 5), min_size=2, max_size=2),
        st.integers(1, 9),
    ),
    min_size=1,
    max_size=3,
)
"""Of each site's loss, half of `curve` times the squared distance from `middle`, and its weight."""


def descended(now: Any, curve: Any, middle: Any, pull: float, held_to: Any) -> Any:
    for _ in range(STEPS):
        now = now - RATE * (np.array(curve) * (now - middle) + pull * (now - held_to))
    return now


def trainer(curve: Any, middle: Any) -> Train:
    def train(arrays: Arrays, steering: Steering, /, *, personal: bool = False) -> Any:
        held_to = arrays if steering.held_to is None else steering.held_to
        end = descended(arrays["w"].astype(np.float64), curve, middle, steering.proximal, held_to["w"])
        return SimpleNamespace(arrays={"w": end.astype(np.float32)}, loss=0.0, steps=STEPS, rates=RATE * STEPS)

    return train


def over_the_protocol(algorithm: Any, found: Any, rounds: int) -> tuple[Any, list[Any]]:
    told, kept = START, [Arrays() for _ in found]
    for _ in range(rounds):
        mean = WeightedMean(told)
        for place, (curve, middle, weight) in enumerate(found):
            turn = take_turn(algorithm, ALL, told, kept[place], told, trainer(curve, middle))
            kept[place] = turn.own
            mean.add(turn.update, weight)
        told = mean.result()
    return told["w"], [personal_model(own).get("w") for own in kept]


@settings(max_examples=40)
@given(sites, st.integers(1, 4), st.floats(0.01, 2))
def test_personal_models_are_those_of_the_paper(found: Any, rounds: int, strength: float) -> None:
    """Algorithm 1 of the paper, with the sites' step for the model of all first."""
    w, personal = START["w"].astype(np.float64), [START["w"].astype(np.float64) for _ in found]
    total = sum(weight for _, _, weight in found)
    for _ in range(rounds):
        personal = [
            descended(v, curve, middle, strength, w) for v, (curve, middle, _) in zip(personal, found, strict=True)
        ]
        w = sum(descended(w, curve, middle, 0.0, w) * weight for curve, middle, weight in found) / total
    model, mine = over_the_protocol(Ditto(strength=strength), found, rounds)
    np.testing.assert_allclose(model, w, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(mine, personal, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(model, over_the_protocol(FedAvg(), found, rounds)[0])


def test_it_comes_between_the_site_alone_and_the_model_of_all() -> None:
    found = [([1.0, 1.0], [4.0, 4.0], 1), ([1.0, 1.0], [-4.0, -4.0], 1)]
    near = [over_the_protocol(Ditto(strength=strength), found, 60)[1][0][0] for strength in (0.01, 1.0, 5.0)]
    assert near == pytest.approx([4 / 1.01, 2.0, 4 / 6], abs=0.02)


def test_a_network_is_held_to_other_weights_than_it_begins_with_and_corrected_after_the_cut() -> None:
    import torch

    from wardround.learning.steered import Steered

    module = torch.nn.Linear(2, 1)
    began = {name: one.detach().numpy().copy() for name, one in module.named_parameters()}
    other = {name: one - 2 for name, one in began.items()}
    correction = {name: np.full_like(one, 7) for name, one in began.items()}
    steered = Steered(module, began, Steering(proximal=0.5, held_to=other, correction=correction))
    for one in module.parameters():
        one.grad = torch.zeros_like(one)
    steered.hold()
    assert all(one.grad is not None and torch.allclose(one.grad, torch.tensor(1.0)) for one in module.parameters())
    steered.correct()
    assert all(one.grad is not None and torch.allclose(one.grad, torch.tensor(8.0)) for one in module.parameters())
