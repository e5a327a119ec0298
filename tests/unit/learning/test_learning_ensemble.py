"""An ensemble says the mean of what its members say, wherever a model package is used, and is trained nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.learning.conftest import ball_head

from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.bundle import BundleRefused, export_bundle, load_bundle, packaged
from wardround.learning.ensemble import LARGEST, bundled, members_of
from wardround.learning.kinds import learner_of
from wardround.learning.network import Ensemble


class Tells(torch.nn.Module):
    """A network that always says the same."""

    def __init__(self, outputs: list[float]) -> None:
        super().__init__()
        self._outputs = torch.tensor([outputs])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._outputs


logits = st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=6)


def sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-np.float64(logit))))


@settings(max_examples=25, deadline=None)
@given(logits)
def test_probabilities_are_averaged(found: list[float]) -> None:
    told = Ensemble([Tells([one]) for one in found], probabilities=True, pairs=False)(torch.zeros(1))
    assert torch.isfinite(told).all(), "a member that is all but certain makes no infinity"
    assert sigmoid(float(told[0, 0])) == pytest.approx(np.mean([sigmoid(one) for one in found]), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(logits)
def test_two_outputs_are_one_logit(found: list[float]) -> None:
    told = Ensemble([Tells([1.0, one + 1.0]) for one in found], probabilities=True, pairs=True)(torch.zeros(1))
    mean = sigmoid(float(told[0, 1] - told[0, 0]))
    assert mean == pytest.approx(np.mean([sigmoid(one) for one in found]), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(logits)
def test_numbers_are_averaged_as_they_are(found: list[float]) -> None:
    told = Ensemble([Tells([one]) for one in found], probabilities=False, pairs=False)(torch.zeros(1))
    assert float(told[0, 0]) == pytest.approx(np.mean(found), abs=1e-4)


@pytest.fixture(scope="module")
def models() -> list[Arrays]:
    learner = learner_of(packaged())
    return [learner.initial(seed) for seed in (1, 2)]


def test_a_package_of_several_models_is_read_and_judged_like_any_other(models: list[Arrays], tmp_path: Path) -> None:
    export_bundle(bundled(models), tmp_path / "both", {}, package=packaged())
    bundle, arrays = load_bundle(tmp_path / "both")
    assert bundle.members == 2
    case = ball_head(1)
    learner = learner_of(bundle)
    found = learner.evaluate(arrays, [case])
    assert set(found) == {case.name}
    twice = learner.evaluate(bundled([models[0], models[0]]), [case])
    assert twice == learner_of(packaged()).evaluate(models[0], [case]), "twice the same model says the same"


def test_an_ensemble_is_trained_nowhere(models: list[Arrays], tmp_path: Path) -> None:
    export_bundle(bundled(models), tmp_path / "both", {}, package=packaged())
    learner = learner_of(tmp_path / "both")
    for training in (
        lambda: learner.initial(0),
        lambda: learner.train(bundled(models), [], steps=1, round_number=1, total_rounds=1, seed=0),
    ):
        with pytest.raises(BundleRefused, match="used as it is") as refused:
            training()
        assert refused.value.reason == "ensemble"


def of(*names: str) -> Arrays:
    return {name: np.zeros(1, np.float32) for name in names}


def test_arrays_tell_how_many_members_they_are_of() -> None:
    assert members_of(of("w", "b").keys()) == 1
    assert members_of(bundled([of("w", "b")] * 3).keys()) == 3


@pytest.mark.parametrize(
    "names",
    [
        {"members.0.w", "w"},
        {"members.1.w"},
        {"members.0.w", "members.2.w"},
        {"members.0.w", "members.1.b"},
        {f"members.{place}.w" for place in range(LARGEST + 1)},
    ],
)
def test_half_an_ensemble_is_none(names: set[str]) -> None:
    with pytest.raises(ArraysRefused):
        members_of(names)


def test_members_are_of_one_network() -> None:
    with pytest.raises(ArraysRefused):
        bundled([of("w"), of("b")])
    with pytest.raises(ArraysRefused):
        bundled([of("w")] * (LARGEST + 1))
    with pytest.raises(ArraysRefused):
        bundled([])
