"""What the hub makes of a round's average: the papers' formulas, in any order of arrival, and the same after a stop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wardround.contracts.algorithm import FedAdagrad, FedAdam, FedAvg, FedProx, FedYogi
from wardround.learning.aggregation import WeightedMean
from wardround.learning.arrays import ArraysRefused, digest, from_bytes, to_bytes
from wardround.learning.strategies.choice import proximal_weight, strategy_of

MODEL = {"w": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.float32)}
values = st.floats(-10, 10, width=32)
changes = st.fixed_dictionaries(
    {name: hnp.arrays(np.float32, array.shape, elements=values) for name, array in MODEL.items()}
)
rounds = st.lists(
    st.lists(st.tuples(changes, st.integers(1, 1000)), min_size=1, max_size=4, unique_by=id), min_size=1, max_size=4
)
rates, decays, taus = st.floats(1e-4, 2), st.floats(0, 0.999), st.floats(1e-8, 1e-1)
algorithms = st.one_of(
    st.builds(FedAdam, server_rate=rates, beta1=decays, beta2=decays, tau=taus),
    st.builds(FedYogi, server_rate=rates, beta1=decays, beta2=decays, tau=taus),
    st.builds(FedAdagrad, server_rate=rates, beta1=decays, tau=taus),
)


def averaged(model, updates):
    mean = WeightedMean(model)
    for change, weight in updates:
        mean.add({name: model[name] + change[name] for name in model}, weight)
    return mean.result()


def run(strategy, history):
    model, state = MODEL, strategy.begin(MODEL)
    for updates in history:
        step = strategy.step(model, state, averaged(model, updates))
        model, state = step.model, step.state
    return model, state


def by_the_paper(algorithm, history):
    """Algorithm 2 of Reddi et al. 2021, all values as one vector in float64."""

    def flat(arrays):
        return np.concatenate([arrays[name].astype(np.float64).ravel() for name in sorted(arrays)])

    x, m, v = flat(MODEL), 0.0, 0.0
    for updates in history:
        total = sum(weight for _, weight in updates)
        delta = sum(flat(change) * weight for change, weight in updates) / total
        m = algorithm.beta1 * m + (1 - algorithm.beta1) * delta
        if isinstance(algorithm, FedAdagrad):
            v = v + delta**2
        elif isinstance(algorithm, FedYogi):
            # Where both are the same, rounding decides which way Yogi goes.
            assume(((np.abs(v - delta**2) > 1e-4 * delta**2) | (delta == 0)).all())
            v = v - (1 - algorithm.beta2) * delta**2 * np.sign(v - delta**2)
        else:
            v = algorithm.beta2 * v + (1 - algorithm.beta2) * delta**2
        x = x + algorithm.server_rate * m / (np.sqrt(v) + algorithm.tau)
    return x


# Changes worth more than what float32 loses of them: below that, a step along their sign is a matter of rounding.
whole = st.integers(-8, 8).map(lambda number: np.float32(number / 4))
coarse = st.fixed_dictionaries(
    {name: hnp.arrays(np.float32, array.shape, elements=whole) for name, array in MODEL.items()}
)
histories = st.lists(st.lists(st.tuples(coarse, st.integers(1, 9)), min_size=1, max_size=3), min_size=1, max_size=4)


@given(algorithms.filter(lambda algorithm: algorithm.tau > 1e-3), histories)
def test_steps_are_those_of_the_paper(algorithm, history):
    model, _ = run(strategy_of(algorithm), history)
    found = np.concatenate([model[name].ravel() for name in sorted(model)])
    assert np.allclose(found, by_the_paper(algorithm, history), rtol=1e-3, atol=1e-3 * (1 + algorithm.server_rate))


def test_one_step_of_each_by_hand():
    model = {"w": np.zeros(1, np.float32)}
    average = {"w": np.full(1, 2, np.float32)}
    for algorithm, wanted in (
        (FedAdam(server_rate=0.5, beta1=0.9, beta2=0.75, tau=1e-3), 0.5 * 0.2 / (1 + 1e-3)),
        (FedYogi(server_rate=0.5, beta1=0.9, beta2=0.75, tau=1e-3), 0.5 * 0.2 / (1 + 1e-3)),
        (FedAdagrad(server_rate=0.5, beta1=0.0, tau=1e-3), 0.5 * 2 / (2 + 1e-3)),
    ):
        strategy = strategy_of(algorithm)
        step = strategy.step(model, strategy.begin(model), average)
        assert step.model["w"][0] == pytest.approx(wanted, rel=1e-6), algorithm.name
    adam, yogi = (strategy_of(kind(server_rate=1, beta1=0, beta2=0.5, tau=1)) for kind in (FedAdam, FedYogi))
    state = {"first:w": np.zeros(1, np.float32), "second:w": np.full(1, 100, np.float32)}
    assert adam.step(model, state, average).state["second:w"][0] == pytest.approx(0.5 * 100 + 0.5 * 4)
    assert yogi.step(model, state, average).state["second:w"][0] == pytest.approx(100 - 0.5 * 4), "Yogi shrinks slowly"


@given(algorithms.filter(lambda algorithm: algorithm.tau > 1e-3), histories, st.randoms())
def test_the_order_of_arrival_does_not_matter(algorithm, history, random):
    by_the_paper(algorithm, history)  # leaves out what rounding decides
    shuffled = [random.sample(updates, len(updates)) for updates in history]
    one, other = run(strategy_of(algorithm), history)[0], run(strategy_of(algorithm), shuffled)[0]
    for name in MODEL:
        assert np.allclose(one[name], other[name], rtol=1e-4, atol=1e-4 * (1 + algorithm.server_rate))


@given(algorithms, rounds)
def test_a_stop_after_any_round_changes_not_one_bit(algorithm, history):
    strategy = strategy_of(algorithm)
    straight, _ = run(strategy, history)
    model, state = MODEL, strategy.begin(MODEL)
    for updates in history:
        step = strategy_of(algorithm).step(model, state, averaged(model, updates))
        model, state = from_bytes(to_bytes(step.model)), from_bytes(to_bytes(step.state))
    assert digest(model) == digest(straight)


@given(rounds)
def test_averaging_hands_the_average_on_to_the_bit_and_remembers_nothing(history):
    for algorithm in (FedAvg(), FedProx(mu=0.5)):
        strategy = strategy_of(algorithm)
        assert strategy.averages and strategy.begin(MODEL) == {}
        average = averaged(MODEL, history[0])
        step = strategy.step(MODEL, {}, average)
        assert digest(step.model) == digest(average) and step.state == {}
        assert digest(strategy.told(MODEL, {})) == digest(MODEL)


def test_only_fedprox_holds_sites_back():
    assert proximal_weight(FedProx(mu=0.25)) == 0.25
    assert [proximal_weight(other) for other in (FedAvg(), FedAdam(), FedYogi(), FedAdagrad())] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("state", "average", "reason"),
    [
        ({}, {"w": 1.0}, "empty"),
        ({"first:w": 0.0}, {"w": 1.0}, "wrong-names"),
        ({"first:w": 0.0, "second:w": float("nan")}, {"w": 1.0}, "not-finite"),
        ({"first:w": 0.0, "second:w": -1.0}, {"w": 0.0}, "not-finite"),
        ({"first:w": 0.0, "second:w": 0.0}, {"w": 3e38}, "not-finite"),
        ({"first:w": 0.0, "second:w": 0.0}, {"v": 1.0}, "wrong-names"),
    ],
)
def test_what_is_not_sound_is_refused_rather_than_stepped_with(state, average, reason):
    def arrays(values):
        return {name: np.full(2, value, np.float32) for name, value in values.items()}

    with pytest.raises(ArraysRefused) as refusal:
        strategy_of(FedAdam()).step({"w": np.zeros(2, np.float32)}, arrays(state), arrays(average))
    assert refusal.value.reason == reason
