"""The heart disease benchmark: the parts of its data, and its rounds beside FLamby's formulas in a plain loop."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wardround.contracts.algorithm import FedAdagrad, FedAdam, FedAvg, FedProx, FedYogi
from wardround.contracts.robust import Median, TrimmedMean
from wardround.learning.strategies.choice import proximal_weight, strategy_of

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "datasets" / "uci-heart"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the heart disease data aren't in {DATA}")


@pytest.fixture(scope="module")
def bench() -> Any:
    """The benchmark's modules, with the hospitals in FLamby's units."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        import _heart
        import _linear
        import flamby_heart
    raw = _heart.read(DATA)
    hospitals = [one.standardised() for one in raw]
    return SimpleNamespace(heart=_heart, linear=_linear, table=flamby_heart, raw=raw, hospitals=hospitals)


def test_parts_are_flambys(bench: Any) -> None:
    """As scikit-learn 1.9 draws them with random state 43; the digest is of the test parts' raw rows, in order."""
    assert [(len(one.train), len(one.test)) for one in bench.raw] == [(199, 104), (172, 89), (30, 16), (85, 45)]
    held_out = b"".join(one.test.features.numpy().tobytes() for one in bench.raw)
    assert sha256(held_out).hexdigest() == "0e001e602dfc30fcff9246bdba4929642633644988c13eb5a963a4f20a04c389"


def sigmoid_step(model: np.ndarray, rows: Any, batch: np.ndarray) -> np.ndarray:
    features, labels = rows.features.numpy().astype(np.float64), rows.labels.numpy()[:, 0]
    inputs = np.column_stack([features, np.ones(len(features))])[batch]
    return (1 / (1 + np.exp(-(inputs @ model))) - labels[batch]) @ inputs / len(batch)


def plain_loop(bench: Any, name: str, rounds: list[Any], rate: float, mu: float, server: float) -> np.ndarray:
    """One hospital after the other in one loop, all in float64, by FLamby's formulas."""
    rows = [one.train for one in bench.hospitals]
    sizes = np.array([len(one) for one in rows], float)
    began = bench.linear.initial(42)
    x = np.concatenate([began["weight"][0], began["bias"]]).astype(np.float64)
    m = v = np.zeros_like(x)
    corrections, before = [np.zeros_like(x) for _ in rows], [x.copy() for _ in rows]
    for turn in rounds:
        ends = []
        for place, one in enumerate(rows):
            if name == "Scaffold":
                corrections[place] = corrections[place] + (x - before[place]) / (rate * len(turn[place]))
            y = x.copy()
            for batch in turn[place]:
                y = y - rate * (sigmoid_step(y, one, batch) + mu * (y - x) - corrections[place])
            ends.append(y)
        before = ends
        delta = (sizes[:, None] * (np.array(ends) - x)).sum(0) / sizes.sum()
        if not server:
            x = x + delta
            continue
        m = 0.9 * m + 0.1 * delta
        squared = delta**2
        v = {
            "FedAdam": 0.999 * v + 0.001 * squared,
            "FedYogi": v - 0.001 * squared * np.sign(v - squared),
            "FedAdagrad": v + squared,
        }[name]
        x = x + server * m / (np.sqrt(v) + 1e-8)
    return x


@pytest.mark.parametrize("name", ["FedAvg", "FedProx", "Scaffold", "FedAdam", "FedYogi", "FedAdagrad"])
def test_two_rounds_over_the_protocol_are_those_of_one_plain_loop(bench: Any, name: str) -> None:
    methods = {known: (strategy, local) for known, strategy, local in bench.table.published_methods()}
    strategy, local = methods[name]
    rows = [one.train for one in bench.hospitals]
    rounds = bench.linear.schedule([len(one) for one in rows], 42, [range(4)] * 2, 25)
    found = bench.linear.federated(strategy, rows, bench.linear.initial(42), rounds, local)[-1]
    server = getattr(strategy, "rate", 0.0) if name not in {"FedAvg", "FedProx", "Scaffold"} else 0.0
    wanted = plain_loop(bench, name, rounds, local.rate, local.mu, server)
    np.testing.assert_allclose(np.concatenate([found["weight"][0], found["bias"]]), wanted, atol=2e-4)


def test_a_seed_of_the_published_table(bench: Any) -> None:
    rows = [one.train for one in bench.hospitals]
    rounds = bench.linear.schedule([len(one) for one in rows], 44, [range(4)] * 15, 100)
    for algorithm, rate, published in (
        (FedAvg(), 0.001, 0.6427),
        (FedProx(mu=0.01), 0.001, 0.6427),
        (FedAdam(server_rate=0.01, beta2=0.999, tau=1e-8), 0.01, 0.7461),
        (FedYogi(server_rate=0.01, beta2=0.999, tau=1e-8), 0.003162, 0.7513),
        (FedAdagrad(server_rate=0.316228, beta1=0.9, tau=1e-8), 0.003162, 0.7513),
    ):
        local = bench.linear.Local(rate, 100, proximal_weight(algorithm))
        model = bench.linear.federated(strategy_of(algorithm), rows, bench.linear.initial(44), rounds, local)[-1]
        reached = np.mean([bench.linear.accuracy(model, one.test) for one in bench.hospitals])
        assert reached == pytest.approx(published, abs=0.01), algorithm.name


def test_one_round_of_averaging_finds_the_units_of_all_rows_together(bench: Any) -> None:
    together = bench.heart.pooled(bench.raw).train.features.numpy().astype(np.float64)
    mean, spread = bench.linear.common_units([one.train for one in bench.raw])
    np.testing.assert_allclose(mean.numpy(), together.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spread.numpy(), together.std(0), rtol=1e-3)


def test_one_hostile_hospital_of_four_is_outvoted(bench: Any) -> None:
    rules = (None, TrimmedMean(), Median())
    plain, trimmed, median = (bench.table.with_one_hostile(bench.raw, rule, 42).mean for rule in rules)
    assert plain < 0.6 < 0.7 < min(trimmed, median)


def test_a_site_whose_turn_it_is_not_is_missing_and_no_reason_to_stop(bench: Any) -> None:
    rows = [one.train for one in bench.hospitals]
    turns = bench.linear.schedule([len(one) for one in rows], 42, [[2], [0]], 5)
    first, second = bench.linear.federated(
        strategy_of(FedAvg()), rows, bench.linear.initial(42), turns, bench.linear.Local(0.1)
    )
    began = bench.linear.initial(42)
    alone = bench.linear.descended(began, rows[2], turns[0][2], bench.linear.Local(0.1))
    np.testing.assert_array_equal(first["weight"], alone["weight"])
    handed_on = bench.linear.descended(alone, rows[0], turns[1][0], bench.linear.Local(0.1))
    np.testing.assert_array_equal(second["weight"], handed_on["weight"])
