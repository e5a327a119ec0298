"""A hub that is killed with -9 between rounds, before and while it puts one together, comes to the very same model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.integration.run_child import MOMENTS, ROUNDS, RUN, lab_in

from wardround.hub.runs import queries
from wardround.ledger.verification import verify

ROOT = Path(__file__).parents[2]
PATIENCE = 300


def program(folder: Path, moment: str = "none", number: int = 0) -> tuple[int, list[int]]:
    """Its exit code, and the rounds that it committed."""
    command = [sys.executable, "-m", "tests.integration.run_child", str(folder), moment, str(number)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode, [int(line) for line in ended.stdout.split()]


def result(folder: Path) -> list[float]:
    return list(json.loads((folder / "result.json").read_text()))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    folder = tmp_path_factory.mktemp("unbroken")
    assert program(folder) == (0, [1, 2, 3, 4])
    return result(folder)


def test_a_hub_killed_at_every_moment_of_a_run_comes_to_the_same_model(tmp_path: Path, unbroken: list[float]) -> None:
    committed = []
    for moment, number in zip(MOMENTS, (1, 1, 2, 3, 3), strict=True):
        code, rounds = program(tmp_path, moment, number)
        assert code == -signal.SIGKILL, moment
        committed += rounds
    code, rounds = program(tmp_path)
    assert code == 0
    assert committed + rounds == list(range(1, ROUNDS + 1)), "no round counts twice, and none is lost"
    np.testing.assert_allclose(result(tmp_path), unbroken, rtol=0, atol=1e-6)
    assert len({*unbroken}) == 1 and abs(unbroken[0]) > 1e-3, "the rounds moved the model"
    lab = lab_in(tmp_path)
    with lab.database.reading() as session:
        legs = queries.legs(session, RUN)
        problems = verify(session, lab.log.verifier).problems
    lab.close()
    assert [(leg.first_round, leg.last_round) for leg in legs] == [(1, 0), (1, 0), (1, 1), (2, 2), (3, 3), (4, 4)]
    assert problems == ()
