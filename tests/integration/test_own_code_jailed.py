"""A model package that brings Python of its own: where it runs, what it can do there, and what is believed of it."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.jails import need_jail

import wardround.compute.jailed
from wardround.compute.jail import Bounds, JailEnded
from wardround.compute.jailed import ANSWER, JailedLearner
from wardround.contracts.run_plan import RunPlan
from wardround.learning.arrays import Arrays, to_bytes
from wardround.learning.bundle import BundleRefused, bundle_digest, packaged, read_bundle
from wardround.learning.initial import beginning
from wardround.learning.kinds import learner_of
from wardround.learning.packages import Packages
from wardround.learning.steering import Steering
from wardround.learning.table import Row

need_jail()

NETWORK = (
    "from monai.networks.nets.fullyconnectednet import FullyConnectedNet\n\n\nclass Net(FullyConnectedNet):\n    pass\n"
)
BOUNDS = Bounds(memory_bytes=2 * 1024**3, seconds=120)


def rows(count: int = 24) -> list[Row]:
    draws = np.random.default_rng(4)
    return [Row(f"P{number}", draws.normal(50, 20, 6), (float(number % 2),)) for number in range(count)]


@pytest.fixture(scope="module")
def weights() -> Arrays:
    return learner_of(packaged("heart-disease")).initial(3)


def package(folder: Path, arrays: Arrays, code: str = NETWORK) -> Path:
    shutil.copytree(packaged("heart-disease"), folder)
    inference = json.loads((folder / "configs/inference.json").read_text())
    inference["network_def"] |= {"_target_": "scripts.net.Net", "dropout": 0.0}
    (folder / "configs/inference.json").write_text(json.dumps(inference))
    (folder / "scripts").mkdir()
    (folder / "scripts/net.py").write_text(code)
    (folder / "models").mkdir()
    (folder / "models/model.safetensors").write_bytes(to_bytes(arrays))
    return folder


def test_it_trains_and_judges_in_the_jail_as_it_would_out_of_it(tmp_path: Path, weights: Arrays) -> None:
    made = package(tmp_path / "package", weights)
    bundle = read_bundle(packaged("heart-disease"))
    free = learner_of(replace(bundle, network={**bundle.network, "dropout": 0.0}))
    jailed = JailedLearner(made, BOUNDS)
    told = {"steps": 5, "round_number": 1, "total_rounds": 2, "seed": 7}
    frozen = Steering(frozen=frozenset([sorted(weights)[0]]))
    found, wanted = (one.train(weights, rows(), **told, steering=frozen) for one in (jailed, free))  # type: ignore[attr-defined]
    assert to_bytes(found.arrays) == to_bytes(wanted.arrays)
    assert (found.steps, found.loss, found.rates) == (wanted.steps, wanted.loss, wanted.rates)
    assert jailed.evaluate(found.arrays, rows()) == free.evaluate(found.arrays, rows())
    assert to_bytes(jailed.initial(1)) == to_bytes(weights)


def test_its_code_runs_nowhere_else(tmp_path: Path, weights: Arrays) -> None:
    trace = tmp_path / "trace"
    made = package(tmp_path / "package", weights, f"open({str(trace)!r}, 'w').close()\n{NETWORK}")
    bundle = read_bundle(made)
    assert bundle.own_code
    with pytest.raises(BundleRefused) as refused:
        learner_of(bundle)
    assert refused.value.reason == "own-code"
    packages = Packages(tmp_path / "packages")
    (tmp_path / "packages").mkdir()
    digest = packages.add(made)
    plan = RunPlan(
        package="heart-disease", package_digest=digest, rounds=1, quorum=1, reads="records", metric="auc", own_code=True
    )
    # What a run begins with is made without running it, so the hub makes it too.
    assert beginning(plan, packages).whole == to_bytes(weights)
    assert not trace.exists()
    with pytest.raises(BundleRefused, match="own_code"):
        bundle.check_fits(plan.model_copy(update={"own_code": False}))
    with pytest.raises(BundleRefused, match="own_code"):
        read_bundle(packaged("heart-disease")).check_fits(plan)


def answering(body: str) -> str:
    """Code that leaves an answer of its own in place of the program's, as soon as it is imported."""
    return f"import json, os, pathlib, sys\n{body}\nos._exit(0)\n"


def test_code_that_gives_up_is_told_of_in_this_nodes_log_alone(
    tmp_path: Path, weights: Arrays, caplog: pytest.LogCaptureFixture
) -> None:
    jailed = JailedLearner(package(tmp_path / "package", weights, "raise SystemExit('P0 has it')\n"), BOUNDS)
    with pytest.raises(JailEnded) as ended:
        jailed.evaluate(weights, rows())
    assert "P0" not in str(ended.value) and "P0 has it" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[" * 100_000,
        "[]",
        '{"refused": "x", "reason": "P0 has it"}',
        '{"outcomes": {"P0": [1, 2]}}',
        '{"outcomes": {"P0": [1], "P1": [1, 2]}}',
        '{"outcomes": {"P0": [1, NaN], "P1": [1, 2]}}',
        '{"outcomes": {"P0": ["1", 2], "P1": [1, 2]}}',
    ],
)
def test_what_it_answers_is_believed_only_where_it_is_sound(
    tmp_path: Path, weights: Arrays, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(*_: object, output: Path, **__: object) -> None:
        (output / ANSWER).write_text(answer)

    monkeypatch.setattr(wardround.compute.jailed, "run_jailed", left)
    learner = JailedLearner(package(tmp_path / "package", weights), BOUNDS)
    with pytest.raises(JailEnded) as ended:
        learner.evaluate(weights, rows(2))
    assert "P0" not in str(ended.value)


def test_weights_that_lie_elsewhere_are_not_taken_for_its_own(tmp_path: Path, weights: Arrays) -> None:
    other = tmp_path / "others.safetensors"
    other.write_bytes(to_bytes(weights))
    body = f"""
pathlib.Path('answer.json').write_text('{{"loss": 1, "steps": 1, "rates": 1}}')
pathlib.Path('arrays.safetensors').symlink_to({str(other)!r})"""
    jailed = JailedLearner(package(tmp_path / "package", weights, answering(body)), BOUNDS)
    with pytest.raises(JailEnded, match="can't be read"):
        jailed.train(weights, rows(), steps=1, round_number=1, total_rounds=1, seed=1)


def test_code_that_takes_too_long_is_ended_and_nothing_of_the_cases_is_left_lying(
    tmp_path: Path, weights: Arrays
) -> None:
    made = package(tmp_path / "package", weights, "while True: pass\n")
    jailed = JailedLearner(made, replace(BOUNDS, seconds=3))
    with pytest.raises(JailEnded) as ended:
        jailed.evaluate(weights, rows())
    assert ended.value.code == "out-of-time"
    del jailed, ended
    gc.collect()
    assert [one.name for one in tmp_path.iterdir()] == ["package"]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path, weights: Arrays) -> None:
    made = package(tmp_path / "package", weights)
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / f".jail-{ended.pid}-abc").mkdir()
    (tmp_path / f".jail-{os.getpid()}-abc").mkdir()
    JailedLearner(made, BOUNDS)
    assert not (tmp_path / f".jail-{ended.pid}-abc").exists()
    assert (tmp_path / f".jail-{os.getpid()}-abc").exists()


def test_patients_privacy_cant_be_guarded_in_code_that_isnt_ours(tmp_path: Path, weights: Arrays) -> None:
    jailed = JailedLearner(package(tmp_path / "package", weights), BOUNDS)
    with pytest.raises(BundleRefused, match="patient privacy"):
        jailed.train(weights, rows(), steps=1, round_number=1, total_rounds=1, seed=1, guard=object())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda made: (made / "scripts/net.py").unlink(), "incomplete"),
        (lambda made: (made / "models/model.safetensors").unlink(), "no-weights"),
    ],
)
def test_a_package_that_isnt_whole_is_refused(tmp_path: Path, weights: Arrays, spoil: object, reason: str) -> None:
    made = package(tmp_path / "package", weights)
    assert callable(spoil)
    spoil(made)
    with pytest.raises(BundleRefused) as refused:
        read_bundle(made)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "target", ["os.system", "scripts.net", "scripts.net.Net.x", "scripts.__init__.Net", "scripts./.N"]
)
def test_no_other_target_passes_for_its_own(tmp_path: Path, weights: Arrays, target: str) -> None:
    made = package(tmp_path / "package", weights)
    inference = json.loads((made / "configs/inference.json").read_text())
    inference["network_def"]["_target_"] = target
    (made / "configs/inference.json").write_text(json.dumps(inference))
    with pytest.raises(BundleRefused) as refused:
        read_bundle(made)
    assert refused.value.reason == "unknown-target"


def test_a_changed_line_of_its_code_is_another_package(tmp_path: Path, weights: Arrays) -> None:
    made = package(tmp_path / "package", weights)
    before = bundle_digest(made)
    (made / "scripts/net.py").write_text(NETWORK + "\n")
    assert bundle_digest(made) != before
