"""Which layers travel: found by kind or by name, refused where the plan can't mean it, and never taught by the hub."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wardround.contracts.algorithm import FedAvg, FedBN
from wardround.contracts.layers import Layers
from wardround.contracts.run_plan import RunPlan
from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import Arrays, ArraysRefused
from wardround.learning.bundle import packaged, read_bundle
from wardround.learning.layers import Sharing, sharing
from wardround.learning.steering import Steering
from wardround.learning.strategies.site import take_turn, whole_model

NAMES = {"stem.weight", "stem.norm.weight", "stem.norm.bias", "head.weight", "head.bias"}
NORMS = {"stem.norm.weight", "stem.norm.bias"}


def plan(algorithm: str = "fedavg", **layers: tuple[str, ...]) -> RunPlan:
    return RunPlan.model_validate(
        {
            "package": "toy",
            "package_digest": "0" * 64,
            "rounds": 2,
            "quorum": 1,
            "compare_alone": False,
            "algorithm": algorithm,
            "layers": layers,
        }
    )


def test_normalisation_stays_at_home_under_fedbn_and_names_do_otherwise() -> None:
    assert sharing(NAMES, NORMS, plan()) == Sharing(frozenset(NAMES))
    assert sharing(NAMES, NORMS, plan("fedbn")).at_home == NORMS
    found = sharing(NAMES, NORMS, plan("fedbn", at_home=("head.b*",), frozen=("stem.weight", "*.norm.bias")))
    assert found.at_home == {"head.bias", "stem.norm.weight"}
    assert found.frozen == {"stem.weight", "stem.norm.bias"}, "what nobody trains isn't a site's own either"


@given(st.sets(st.sampled_from(sorted(NAMES))), st.sets(st.sampled_from(sorted(NAMES))), st.booleans())
def test_each_array_has_one_place_or_the_plan_is_refused(home: set[str], frozen: set[str], norms: bool) -> None:
    asked = plan("fedbn" if norms else "fedavg", at_home=tuple(home), frozen=tuple(frozen))
    try:
        found = sharing(NAMES, NORMS, asked)
    except ArraysRefused as refusal:
        assert refusal.reason == "wrong-names"
        assert home & frozen or home | frozen | (NORMS if norms else set()) == NAMES
        return
    parts = [found.travelling, found.at_home, found.frozen]
    assert frozenset.union(*parts) == NAMES and sum(len(part) for part in parts) == len(NAMES)
    assert found.travelling and home <= found.at_home and frozen == found.frozen


@pytest.mark.parametrize(
    "asked", [{"at_home": ("haed.*",)}, {"frozen": ("HEAD.*",)}, {"at_home": ("head.*", "stem.*")}]
)
def test_a_plan_that_cannot_be_meant_is_refused(asked: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ArraysRefused) as refusal:
        sharing(NAMES, NORMS, plan(**asked))
    assert refusal.value.reason == "wrong-names"
    with pytest.raises(ArraysRefused, match="no normalisation layer"):
        sharing(NAMES, set(), plan("fedbn"))


@pytest.mark.parametrize("pattern", ["*", "", "a b", "*.*", "x" * 101, "a/b"])
def test_a_pattern_names_something(pattern: str) -> None:
    with pytest.raises(ValidationError):
        Layers(at_home=(pattern,))


@pytest.mark.parametrize("asked", [{"algorithm": FedBN()}, {"layers": Layers(at_home=("head.*",))}])
def test_no_model_trained_alone_leaves_with_layers_that_stay_at_home(asked: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"package": "toy", "package_digest": "0" * 64, "rounds": 2, "quorum": 1}
    with pytest.raises(ValidationError, match="compare_alone"):
        RunPlan(**usual, **asked)
    assert RunPlan(**usual, **asked, compare_alone=False)


def test_the_kinds_of_layers_of_the_package_that_is_here() -> None:
    """Its last normalisation isn't called one."""
    from wardround.learning.segmenter import Segmenter

    found = Segmenter(packaged()).sharing(plan("fedbn"))
    assert {"conv_final.0.weight", "conv_final.0.bias"} < found.at_home
    assert all("norm" in name or name.startswith("conv_final.0.") for name in found.at_home)
    assert not any("norm" in name for name in found.travelling)


@pytest.mark.parametrize("algorithm", ["fedavg", "fedbn"])
def test_a_networks_batch_normalisation_is_parted_without_its_counters(algorithm: str) -> None:
    """A counter of batches is no weight, and in no round."""
    from wardround.learning.kinds import learner_of

    bundle = read_bundle(packaged())
    teacher = learner_of(replace(bundle, network={**bundle.network, "norm": "batch"}))
    arrays, found = teacher.initial(1), teacher.sharing(plan(algorithm))
    assert found.travelling | found.at_home == arrays.keys()
    assert bool(found.at_home) == (algorithm == "fedbn")
    assert {**found.travelling_of(arrays), **found.at_home_of(arrays)}.keys() == arrays.keys()


def test_what_is_frozen_comes_back_as_it_came(ball_head: Any) -> None:
    from wardround.learning.segmenter import Segmenter

    bundle = read_bundle(packaged())
    quick = replace(bundle.setting("phantoms"), batch_size=2)
    small = replace(bundle, network={**bundle.network, "init_filters": 8}, settings={"default": quick})
    segmenter = Segmenter(small)
    began = segmenter.initial(0)
    frozen = frozenset(name for name in began if name.startswith("down_layers"))
    cases = [ball_head(seed) for seed in range(2)]
    asked: dict[str, Any] = {"steps": 2, "round_number": 1, "total_rounds": 1, "seed": 3}
    trained = segmenter.train(began, cases, **asked, steering=Steering(frozen=frozen)).arrays
    assert frozen and all(np.array_equal(trained[name], began[name]) for name in frozen)
    assert all(not np.array_equal(trained[name], began[name]) for name in began.keys() - frozen)
    free = segmenter.train(began, cases, **asked).arrays
    assert not any(np.array_equal(free[name], began[name]) for name in frozen), "and is trained again afterwards"


def test_the_hub_cannot_ask_for_a_layer_by_telling_one() -> None:
    """What it tells comes back trained: that would be the way out for what never leaves."""
    part = Sharing(frozenset({"w"}), at_home=frozenset({"g"}))
    began = {name: np.zeros(1, np.float32) for name in ("w", "g")}
    for told in ({"w": began["w"], "g": began["g"]}, {"g": began["g"]}, {}):
        with pytest.raises(ArraysRefused) as refusal:
            whole_model(told, {}, began, part)
        assert refusal.value.reason == "wrong-names"


def test_fedbn_is_averaging_with_a_scale_of_each_sites_own() -> None:
    """Against the same in plain NumPy: y = g * w * x, with w averaged and g each site's own."""
    draws = np.random.default_rng(5)
    xs = [draws.standard_normal(40), 3 * draws.standard_normal(25)]
    ys = [2 * x + 0.1 * draws.standard_normal(len(x)) for x in xs]
    part, began = Sharing(frozenset({"w"}), at_home=frozenset({"g"})), {"w": np.ones(1, np.float32)}
    began["g"] = np.full(1, 0.5, np.float32)

    def descended(x: Any, y: Any, w: float, g: float) -> tuple[float, float]:
        for _ in range(4):
            wrong = g * w * x - y
            w, g = w - 0.02 * np.mean(wrong * g * x), g - 0.02 * np.mean(wrong * w * x)
        return float(w), float(g)

    def site(x: Any, y: Any) -> Any:
        def train(arrays: Arrays, _: Steering, *, personal: bool = False) -> Any:
            w, g = descended(x, y, float(arrays["w"][0]), float(arrays["g"][0]))
            return SimpleNamespace(arrays={"w": np.float32([w]), "g": np.float32([g])}, loss=0.0, steps=4, rates=0.08)

        return train

    told, kept = {"w": began["w"]}, [Arrays(), Arrays()]
    w, gs = 1.0, [0.5, 0.5]
    for _ in range(6):
        mean = WeightedMean(told)
        for place, (x, y) in enumerate(zip(xs, ys, strict=True)):
            turn = take_turn(FedBN(), part, told, kept[place], whole_model(told, kept[place], began, part), site(x, y))
            assert turn.update.keys() == {"w"} and turn.own.keys() == {"g"}
            kept[place] = turn.own
            mean.add(turn.update, len(x))
        told = mean.result()
        steps = [descended(x, y, w, g) for x, y, g in zip(xs, ys, gs, strict=True)]
        w, gs = sum(len(x) * w for x, (w, _) in zip(xs, steps, strict=True)) / 65, [g for _, g in steps]
    np.testing.assert_allclose(told["w"], w, rtol=1e-4)
    np.testing.assert_allclose([one["g"][0] for one in kept], gs, rtol=1e-4)
    assert abs(gs[0] - gs[1]) > 0.01
    assert take_turn(FedAvg(), Sharing(frozenset(began)), began, {}, began, site(xs[0], ys[0])).own == {}
