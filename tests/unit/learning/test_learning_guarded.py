"""A real network trained under a guard: a round done again is the same, and the plan's seed foretells nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.learning.arrays import Arrays, difference, digest, norm
from wardround.learning.bundle import BundleRefused, packaged, read_bundle
from wardround.learning.case import Case
from wardround.learning.guard import Guard
from wardround.learning.segmenter import Segmenter
from wardround.learning.split import apart

SEED = bytes(range(32))


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    bundle = read_bundle(packaged())
    quick = replace(bundle.setting("phantoms"), batch_size=2)
    return Segmenter(replace(bundle, network={**bundle.network, "init_filters": 8}, settings={"default": quick}))


@pytest.fixture(scope="module")
def cases(ball_head: Callable[[int], Case]) -> list[Case]:
    return [ball_head(seed) for seed in range(3)]


def trained(segmenter: Segmenter, cases: list[Case], secret: bytes = SEED, *, seed: int = 5, number: int = 1) -> Arrays:
    privacy = PatientPrivacy(epsilon=1, noise_multiplier=1.0, sample_rate=0.5)
    began = segmenter.initial(0)
    guard = Guard(privacy, 1.5, secret)
    asked = {"steps": 2, "round_number": number, "total_rounds": 3, "seed": seed}
    return difference(segmenter.train(began, cases, guard=guard, **asked).arrays, began)  # type: ignore[arg-type]


def test_the_same_round_is_the_same_and_the_secret_decides_not_the_seed(
    segmenter: Segmenter, cases: list[Case]
) -> None:
    first = trained(segmenter, cases)
    assert norm(first) > 0
    assert digest(trained(Segmenter(segmenter.bundle), cases)) == digest(first), "as after a restart"
    assert digest(trained(segmenter, cases, seed=6)) == digest(first)
    assert digest(trained(segmenter, cases, bytes(32))) != digest(first)


def test_weights_that_were_judged_before_are_trained_all_the_same(segmenter: Segmenter, cases: list[Case]) -> None:
    first, judging = trained(segmenter, cases), Segmenter(segmenter.bundle)
    judging.predict(judging.initial(0), cases[0])
    assert digest(trained(judging, cases)) == digest(first)


def test_a_network_with_batch_normalisation_isnt_trained_under_a_guard(segmenter: Segmenter, cases: list[Case]) -> None:
    batch = replace(
        segmenter.bundle, network={**segmenter.bundle.network, "norm": ["INSTANCE", {"track_running_stats": True}]}
    )
    with pytest.raises(BundleRefused) as refused:
        trained(Segmenter(batch), cases)
    assert refused.value.reason == "mixes-patients"


def test_who_is_held_out_follows_from_each_patient_alone() -> None:
    names = [f"case {number}" for number in range(400)]
    whole = apart(names, seed=3)
    assert 0.18 < len(whole.held_out) / len(names) < 0.32
    for gone in names[:20]:
        left = apart([name for name in names if name != gone], seed=3)
        assert set(left.held_out) == set(whole.held_out) - {gone}
        assert set(left.training) == set(whole.training) - {gone}
    assert apart(names, seed=4) != whole
    assert np.intersect1d(whole.training, whole.held_out).size == 0
