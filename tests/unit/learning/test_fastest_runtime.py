"""A network on the clinical path runs in whatever is fastest and agrees with PyTorch; what doesn't agree isn't used."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from wardround.learning import openvino_network, runtime
from wardround.learning.agreement import Agreement, agreement
from wardround.learning.bundle import packaged
from wardround.learning.case import Case
from wardround.learning.runtime import Fastest, check_input, compiled
from wardround.learning.segmenter import Segmenter

INSTALLED = find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not INSTALLED, reason="openvino is not installed")


def network(outputs: int = 2) -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.InstanceNorm3d(4), torch.nn.ReLU(), torch.nn.Conv3d(4, outputs, 1)
    ).eval()


@needs_openvino
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_network_runs_in_openvino_and_tells_how_it_agreed(outputs: int) -> None:
    module = network(outputs)
    fastest = Fastest(module, threads=1)
    inputs = torch.randn(1, 1, 8, 8, 8)
    with torch.inference_mode():
        found, expected = fastest(inputs), module(inputs)
    assert torch.allclose(found, expected, atol=1e-4)
    assert fastest.said.startswith("OpenVINO 2026") and "argmax 1.000000" in fastest.said


@needs_openvino
def test_batches_of_any_number_of_slices_run_in_what_was_checked_once() -> None:
    module = torch.nn.Conv2d(1, 2, 3, padding=1).eval()
    fastest = Fastest(module, threads=1)
    for count in (3, 1, 2):
        inputs = torch.randn(count, 1, 8, 8)
        assert torch.allclose(fastest(inputs), module(inputs), atol=1e-5)
    assert len(fastest._runs) == 1 and fastest.said.startswith("OpenVINO")


def stand_in(wrong: Callable[[torch.Tensor], torch.Tensor], module: torch.nn.Module) -> Callable[..., object]:
    return lambda *_: (lambda inputs: wrong(module(inputs)), "9")


@pytest.mark.parametrize(
    "wrong", [lambda out: -out, lambda out: out * float("nan"), lambda out: out[:, :, 1:]], ids=["sign", "nan", "shape"]
)
def test_a_runtime_that_disagrees_isnt_used_and_that_is_said(
    wrong: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = network()
    monkeypatch.setattr(openvino_network, "installed", lambda: True)
    monkeypatch.setattr(runtime, "compiled", stand_in(wrong, module))
    fastest = Fastest(module, threads=1)
    inputs = torch.randn(1, 1, 8, 8, 8)
    assert torch.equal(fastest(inputs), module(inputs))
    assert fastest.said.startswith("PyTorch: OpenVINO disagreed")


def test_one_decision_in_a_hundred_thousand_may_differ_and_no_more() -> None:
    reference = torch.ones(1, 1, 200_000)
    found = reference.clone()
    found[0, 0, :2] = -1
    assert agreement(found, reference).enough
    found[0, 0, :3] = -1
    assert agreement(found, reference) == Agreement(1 - 3 / 200_000, 2.0)
    assert not agreement(found, reference).enough


def test_what_openvino_cant_take_runs_in_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(openvino_network, "installed", lambda: True)
    monkeypatch.setattr(runtime, "compiled", refuse)
    module = network()
    fastest = Fastest(module, threads=1)
    inputs = torch.randn(1, 1, 8, 8, 8)
    assert torch.equal(fastest(inputs), module(inputs)) and fastest.said == "PyTorch: OpenVINO can't take it"


def test_without_openvino_it_is_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_network, "installed", lambda: False)
    fastest = Fastest(network(), threads=1)
    fastest(torch.randn(1, 1, 8, 8, 8))
    assert fastest.said == "PyTorch: OpenVINO isn't installed"


@needs_openvino
def test_openvinos_telemetry_is_never_loaded() -> None:
    import sys

    compiled(network(), check_input((1, 1, 8, 8, 8)), 1)
    assert sys.modules["openvino_telemetry"] is None


def test_the_input_of_the_check_is_the_same_always() -> None:
    for shape in ((2, 3), (1, 1, 9), (2, 1, 16, 20), (1, 2, 8, 17, 24)):
        assert torch.equal(check_input(shape), check_input(shape)) and check_input(shape).shape == shape


@needs_openvino
def test_a_served_model_predicts_as_it_did_and_other_weights_are_pytorchs() -> None:
    segmenter = Segmenter(packaged())
    weights = segmenter.initial(3)
    case = Case("", np.random.default_rng(0).random((1, 32, 32), np.float32) * 100, None, (3.0, 1.0, 1.0))
    before = segmenter.predict(weights, case)
    segmenter.serve(weights)
    after = segmenter.predict(weights, case)
    assert "argmax" in segmenter.runtime
    assert (before == after).mean() > 0.999
    other = segmenter.initial(4)
    expected = Segmenter(packaged()).predict(other, case)
    assert (segmenter.predict(other, case) == expected).all() and segmenter.runtime == "PyTorch"
