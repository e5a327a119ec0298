"""A project's template names the algorithm with its numbers, for a researcher to edit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from wardround.cli.main import run
from wardround.contracts.algorithm import AlgorithmName
from wardround.contracts.project import Project
from wardround.learning.strategies.choice import strategy_of

MODEL = {"w": np.zeros(2, np.float32)}


@pytest.fixture
def template(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `wardround project template` prints, on either stream."""

    def command(*options: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["wardround", "project", "template", *options])
        try:
            run()
        except SystemExit as end:
            assert (end.code or 0) == code
        told = capsys.readouterr()
        return told.out + told.err

    return command


def test_the_numbers_are_there_to_be_edited(template: Callable[..., str]) -> None:
    document = json.loads(template("--algorithm", "fedprox"))
    assert document["plan"]["algorithm"] == {"name": "fedprox", "mu": 0.01}
    document["plan"]["algorithm"]["mu"] = 0.5
    assert Project.model_validate(document).plan.algorithm.in_words() == "fedprox (mu 0.5)"
    assert json.loads(template())["plan"]["algorithm"] == {"name": "fedavg"}


@pytest.mark.parametrize("algorithm", get_args(AlgorithmName))
def test_every_algorithm_makes_a_project_that_can_be_carried_out(template: Callable[..., str], algorithm: str) -> None:
    asked = Project.model_validate_json(template("--algorithm", algorithm))
    assert asked.plan.algorithm.in_words().startswith(algorithm)
    assert strategy_of(asked.plan.algorithm).begin(MODEL).keys() <= {"w", "first:w", "second:w"}
    update, usual = asked.leaving("run-update"), Project.model_validate_json(template()).leaving("run-update")
    if algorithm == "merge":
        assert update is None, "no update of a round leaves"
    else:
        assert update is not None and usual is not None
        assert update.largest_bytes == usual.largest_bytes * (2 if algorithm == "scaffold" else 1)


def test_another_is_refused_with_those_there_are(template: Callable[..., str]) -> None:
    assert "'fedsgd' is no algorithm; there are fedavg, fedprox" in template("--algorithm", "fedsgd", code=2)
