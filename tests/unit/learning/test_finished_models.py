"""An ONNX file that a hospital brings reads as any network does, held against ONNX Runtime, and is never trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.finished_lab import SAID, VOLUME, onnx_file, package, program

from wardround.learning.bundle import BundleRefused, load_bundle, read_bundle
from wardround.learning.case import Case
from wardround.learning.finished import wrap
from wardround.learning.kinds import learner_of
from wardround.learning.packages import Packages


def bright_case() -> Case:
    image = np.full((4, 16, 16), 100.0, np.float32)
    image[1:3, 4:10, 4:10] = 900
    return Case("P1", image, image > 500, (3.0, 1.0, 1.0))


@pytest.mark.parametrize("probabilities", [False, True])
def test_an_onnx_file_outlines_and_says_how_openvino_agreed(tmp_path: Path, probabilities: bool) -> None:
    file = onnx_file(tmp_path / "m.onnx", weight=20, bias=-10, sigmoid=probabilities)
    network = {"outputs": "probabilities"} if probabilities else {}
    folder, _ = package(tmp_path / "p", file, preparation=VOLUME, network=network)
    bundle, arrays = load_bundle(folder)
    learner, case = learner_of(bundle), bright_case()
    assert np.array_equal(learner.predict(arrays, case), case.label), "as it is judged: in its reference"
    assert learner.runtime == "ONNX Runtime"
    learner.serve(arrays)
    assert np.array_equal(learner.predict(arrays, case), case.label)
    assert learner.runtime.startswith("OpenVINO") and "against ONNX Runtime: argmax 1.000000" in learner.runtime


def test_where_openvino_disagrees_the_file_runs_in_its_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wardround.learning import runtime

    folder, _ = package(tmp_path / "p", onnx_file(tmp_path / "m.onnx"), preparation=VOLUME)
    bundle, arrays = load_bundle(folder)
    learner = learner_of(bundle)
    monkeypatch.setattr(runtime, "compiled", lambda module, *_: (lambda inputs: -module(inputs), "9"))
    learner.serve(arrays)
    assert np.array_equal(learner.predict(arrays, bright_case()), bright_case().label)
    assert learner.runtime.startswith("ONNX Runtime: OpenVINO disagreed")


def test_a_finished_model_is_never_trained_and_fits_no_plan(tmp_path: Path) -> None:
    folder, _ = package(tmp_path / "p", onnx_file(tmp_path / "m.onnx"), preparation=VOLUME)
    learner = learner_of(folder)
    with pytest.raises(BundleRefused) as raised:
        learner.initial(1)
    assert raised.value.reason == "finished"
    with pytest.raises(BundleRefused) as raised:
        learner.train({}, [bright_case()], steps=1, round_number=1, total_rounds=1, seed=1)
    assert raised.value.reason == "finished"
    plan: Any = None
    with pytest.raises(BundleRefused) as raised:
        read_bundle(folder).check_fits(plan)
    assert raised.value.reason == "finished"


def test_its_digest_covers_the_file(tmp_path: Path) -> None:
    packages = Packages(tmp_path / "packages")
    one, other = (
        package(tmp_path / name, onnx_file(tmp_path / f"{name}.onnx", bias=bias), preparation=VOLUME)
        for name, bias in (("a", -0.5), ("b", -0.6))
    )
    assert packages.add(one[0]) == one[1] != packages.add(other[0])
    kept = tmp_path / "packages" / one[1] / "models" / "model.onnx"
    kept.write_bytes(onnx_file(tmp_path / "c.onnx", bias=-0.7).read_bytes())
    with pytest.raises(BundleRefused, match="is here, but not the one"):
        packages.find("bright-parts", one[1])


@pytest.mark.parametrize(
    ("broken", "said", "reason"),
    [
        ("none", {"preparation": {**VOLUME, "patch": [8, 16, 16]}}, "wrong-onnx"),
        ("two inputs", {"preparation": VOLUME}, "wrong-onnx"),
        ("no graph", {"preparation": VOLUME}, "wrong-onnx"),
        ("none", {"preparation": VOLUME, "network": {"outputs": "scores"}}, "wrong-network"),
        ("none", {"preparation": VOLUME, "network": {"library": "ops.so"}}, "wrong-network"),
        ("none", {"preparation": VOLUME, "licence": "x"}, "wrong-metadata"),
        ("none", {"preparation": VOLUME, "network": {"_target_": "os.system"}}, "unknown-target"),
        ("text", {"preparation": VOLUME}, "unreadable"),
    ],
)
def test_what_isnt_one_is_refused_by_name(tmp_path: Path, broken: str, said: dict[str, Any], reason: str) -> None:
    file = onnx_file(tmp_path / "m.onnx", inputs=2 if broken == "two inputs" else 1)
    if broken == "no graph":
        file.write_bytes(b"\x08\x09nothing of a network")
    if broken == "text":
        file = file.rename(tmp_path / "m.txt")
    with pytest.raises(BundleRefused) as raised:
        learner_of(package(tmp_path / "p", file, **said)[0])
    assert raised.value.reason == reason


def test_an_onnx_file_that_names_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_bytes(np.float32(7).tobytes())
    monkeypatch.chdir(tmp_path)
    for number, where in enumerate(("secret", str(tmp_path / "secret"), "../secret")):
        file = onnx_file(tmp_path / "m.onnx", elsewhere=where)
        with pytest.raises(BundleRefused) as raised:
            learner_of(package(tmp_path / f"p{number}", file, preparation=VOLUME)[0])
        assert raised.value.reason == "wrong-onnx"


def test_a_program_has_a_command_a_modality_and_its_folder(tmp_path: Path) -> None:
    source = program(tmp_path / "source")
    network = {"command": ["python", "main.py"], "modality": "MR"}
    for wrong in ({}, {"command": []}, {"command": "main.py"}, {"modality": "XX"}):
        said = {**network, **wrong} if wrong else {}
        with pytest.raises(BundleRefused) as raised:
            package(tmp_path / f"p{len(list(tmp_path.iterdir()))}", source, network=said)
        assert raised.value.reason == "wrong-network"
    folder, _ = package(tmp_path / "p", source, network=network)
    with pytest.raises(BundleRefused) as raised:
        learner_of(folder)
    assert raised.value.reason == "program", "it runs in no process of ours"


def test_a_link_in_a_programs_folder_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a key")
    source = program(tmp_path / "source")
    (source / "key").symlink_to(secret)
    with pytest.raises(BundleRefused):
        wrap(source, {**SAID, "network": {"command": ["sh", "x"], "modality": "CT"}}, tmp_path / "p")


def test_probabilities_of_two_outputs_become_logits_of_the_same_decision() -> None:
    from wardround.learning.onnx_network import OnnxNetwork

    module = OnnxNetwork.__new__(OnnxNetwork)
    torch.nn.Module.__init__(module)
    module._probabilities = True
    told = torch.softmax(torch.randn(1, 2, 3, 4, 5), 1)
    assert torch.equal(module.logits(told).argmax(1), told.argmax(1))
    assert torch.isfinite(module.logits(torch.tensor([[[0.0]], [[1.0]]]))).all()
