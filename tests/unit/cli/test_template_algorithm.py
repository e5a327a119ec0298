"""A project's template names the algorithm with its numbers, for a researcher to edit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from wardround.cli.main import run
from wardround.contracts.project import Project


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


def test_another_is_refused_with_those_there_are(template: Callable[..., str]) -> None:
    assert "'fedsgd' is no algorithm; there are fedavg, fedprox" in template("--algorithm", "fedsgd", code=2)
