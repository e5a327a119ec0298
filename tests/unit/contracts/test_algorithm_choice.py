"""A plan's algorithm: closed, with numbers that make sense, and told in words to whoever approves."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wardround.contracts.algorithm import FedAdam, FedAvg, FedProx
from wardround.contracts.run_plan import RunPlan

PLAN: dict[str, Any] = {"package": "toy", "package_digest": "0" * 64, "rounds": 1, "quorum": 1}


def plan(algorithm: object) -> RunPlan:
    return RunPlan.model_validate({**PLAN, "algorithm": algorithm})


def test_a_name_alone_stands_for_the_algorithm_with_its_usual_numbers() -> None:
    assert RunPlan.model_validate(PLAN).algorithm == plan("fedavg").algorithm == FedAvg()
    assert plan("fedadam").algorithm == FedAdam()
    assert plan({"name": "fedprox", "mu": 0.5}).algorithm == FedProx(mu=0.5)


def test_every_number_is_part_of_what_is_signed() -> None:
    assert (
        plan({"name": "fedprox", "mu": 0.5}).content_digest() != plan({"name": "fedprox", "mu": 0.6}).content_digest()
    )
    kept = plan({"name": "fedyogi", "server_rate": 0.2})
    assert RunPlan.model_validate_json(kept.canonical()) == kept


@pytest.mark.parametrize(
    "algorithm",
    [
        "fedsgd",
        {"mu": 0.1},
        {"name": "fedavg", "mu": 0.1},
        {"name": "fedprox", "mu": 0},
        {"name": "fedprox", "mu": float("inf")},
        {"name": "fedadam", "beta1": 1},
        {"name": "fedadam", "tau": 0},
        {"name": "fedadagrad", "server_rate": -1},
        {"name": "fedadagrad", "beta2": 0.9},
        {"name": "scaffold", "local_rate": 0},
        {"name": "ditto", "strength": -1},
        {"name": "cyclic", "order": ["North Hospital"]},
        None,
        7,
    ],
)
def test_what_no_node_would_know_is_refused(algorithm: object) -> None:
    with pytest.raises(ValidationError):
        plan(algorithm)


def test_numbers_are_told_in_words() -> None:
    assert plan({"name": "fedprox", "mu": 0.5}).algorithm.in_words() == "fedprox (mu 0.5)"
    assert plan("fedadam").algorithm.in_words() == "fedadam (server rate 0.01, beta1 0.9, beta2 0.99, tau 0.001)"
    assert plan({"name": "cyclic", "order": ["west", "east"]}).algorithm.in_words().endswith("in the order west, east")
    for name, told in (("scaffold", "control variates in each update"), ("ditto", "a personal model beside it")):
        assert told in plan(name).algorithm.in_words()
