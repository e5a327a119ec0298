"""One patient more changes a step by no more than the bound, however many slices; the rest is noise that nobody can
foretell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.learning.bundle import BundleRefused
from wardround.learning.guard import Guard

SEED = bytes(range(32))


def guard(seed: bytes = SEED, expected: float = 1.0, **told: float) -> Guard:
    said = {"epsilon": 1.0, "noise_multiplier": 1e-6, "sample_rate": 1.0, "max_grad_norm": 1.0, **told}
    return Guard(PatientPrivacy.model_validate(said), expected, seed)


def step(keeper: Guard, patients: Sequence[torch.Tensor], number: int = 0, width: int = 4) -> np.ndarray:  # type: ignore[type-arg]
    """The gradient that a step leaves, where each patient's own is the sum of what is drawn of them."""
    module = torch.nn.Linear(width, 1, bias=False)

    def backward(of: Sequence[torch.Tensor]) -> float:
        module.zero_grad(set_to_none=True)
        loss = torch.stack([module(slices).sum() for slices in of]).sum()
        loss.backward()
        return float(loss.detach())

    keeper.gradients(module, patients, backward, number)
    assert module.weight.grad is not None
    return module.weight.grad.numpy().ravel().copy()


SLICES = st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4), min_size=1, max_size=30)


@settings(max_examples=40)
@given(st.lists(SLICES, max_size=3), SLICES, st.floats(0.1, 10))
def test_a_patient_more_changes_a_step_by_no_more_than_the_norm(
    others: list[list[list[float]]], more: list[list[float]], bound: float
) -> None:
    """However many slices there are of that patient, and whatever is in them. The noise is the same in both."""
    before = [torch.tensor(slices) for slices in others]
    without = step(guard(max_grad_norm=bound), before)
    with_one = step(guard(max_grad_norm=bound), [*before, torch.tensor(more)])
    assert np.linalg.norm(with_one - without) <= bound * (1 + 1e-5)


def test_a_short_gradient_is_left_as_it_is_and_the_sum_divided_by_what_is_expected() -> None:
    left = step(guard(expected=2.0, max_grad_norm=100.0, noise_multiplier=1e-9), [torch.tensor([[1.0, 2.0, 0, 0]])] * 3)
    assert np.allclose(left, [1.5, 3.0, 0, 0], atol=1e-5)


def test_the_noise_is_of_the_norm_and_not_of_what_was_found() -> None:
    nobody = step(guard(noise_multiplier=2.0, max_grad_norm=0.5), [], width=20_000)
    assert abs(nobody.std() - 1.0) < 0.03
    someone = [torch.zeros(1, 20_000)]
    assert np.array_equal(nobody, step(guard(noise_multiplier=2.0, max_grad_norm=0.5), someone, width=20_000))


def test_a_patient_takes_part_with_the_chance_that_was_agreed() -> None:
    one = [torch.tensor([[1.0, 0, 0, 0]])]
    taken = [step(guard(sample_rate=0.3), one, number)[0] > 0.5 for number in range(400)]
    assert 0.22 < np.mean(taken) < 0.38


def test_a_step_done_again_is_the_same_and_any_other_has_noise_of_its_own() -> None:
    def noise(keeper: Guard, number: int) -> np.ndarray:  # type: ignore[type-arg]
        return step(keeper, [], number, width=5_000)

    first = noise(guard(noise_multiplier=1.0), 3)
    assert np.array_equal(first, noise(guard(noise_multiplier=1.0), 3))
    for other in (noise(guard(noise_multiplier=1.0), 4), noise(guard(bytes(32), noise_multiplier=1.0), 3)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.06
    assert guard().entropy != guard(bytes(32)).entropy


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)),
        torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2, track_running_stats=False)),
        torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.InstanceNorm2d(2, track_running_stats=True)),
    ],
)
def test_a_network_that_mixes_patients_or_remembers_them_is_refused(module: torch.nn.Module) -> None:
    with pytest.raises(BundleRefused) as refused:
        Guard.check(module)
    assert refused.value.reason == "mixes-patients"


def test_a_network_that_keeps_patients_apart_is_not() -> None:
    Guard.check(torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.GroupNorm(2, 4), torch.nn.InstanceNorm2d(4)))
