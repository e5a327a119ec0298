"""Runs a network in OpenVINO, float32, where that agrees with its reference, and in that where not. Needs torch.

PyTorch as it is (eager) is the reference, and ONNX Runtime that of an ONNX file. Whatever OpenVINO makes of a network
is held against it on a fixed random input of each shape that it is given, before it reads any patient; what was found
goes with the result.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from wardround.learning import openvino_network
from wardround.learning.agreement import agreement
from wardround.learning.onnx_network import OnnxNetwork

_log = logging.getLogger(__name__)

_MOST_SHAPES = 4
_COARSE, _NOISE = 8, 0.1
Run = Callable[[torch.Tensor], torch.Tensor]


class Fastest:
    """Stands in for a network whose weights change no more; for one thread.

    `said` tells which runtime ran last, and how it agreed. A network that OpenVINO can't take, or about which it
    doesn't agree, runs in PyTorch, and `said` says so.

    Args:
        module: in `eval` mode.
    """

    def __init__(self, module: torch.nn.Module, threads: int) -> None:
        self._reference = module
        self._threads = threads
        self._runs: dict[tuple[int, ...], tuple[Run, str]] = {}
        self._name = self.said = reference_of(module)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        shape = tuple(inputs.shape)
        key = shape if len(shape) == openvino_network.VOLUME else shape[1:]
        if key not in self._runs:
            if len(self._runs) == _MOST_SHAPES:
                self._runs.clear()
            self._runs[key] = self._chosen(shape)
        run, self.said = self._runs[key]
        return run(inputs)

    def _chosen(self, shape: tuple[int, ...]) -> tuple[Run, str]:
        if not openvino_network.installed():
            return self._reference, f"{self._name}: OpenVINO isn't installed"
        sample = check_input(shape)
        try:
            run, version = compiled(self._reference, sample, self._threads)
            with torch.no_grad():
                found = agreement(run(sample), self._reference(sample))
        except RuntimeError as error:
            _log.warning("a network runs in %s: OpenVINO can't take it (%s)", self._name, type(error).__name__)
            return self._reference, f"{self._name}: OpenVINO can't take it"
        if not found.enough:
            _log.warning("a network runs in %s: OpenVINO disagrees, %s", self._name, found.words)
            return self._reference, f"{self._name}: OpenVINO disagreed, {found.words}"
        return run, f"OpenVINO {version}, against {self._name}: {found.words}"


def reference_of(module: torch.nn.Module) -> str:
    """What a network runs in where nothing else agrees."""
    return module.reference if isinstance(module, OnnxNetwork) else "PyTorch"


def check_input(shape: tuple[int, ...]) -> torch.Tensor:
    """The same for a shape, always: coarse random patches with a little noise, as images are smooth rather than noise.

    Args:
        shape: (N, C, …), with one to three axes of space or none.
    """
    generator = torch.Generator().manual_seed(20261130)
    noise = torch.randn(shape, generator=generator)
    if len(shape) < 3:
        return noise
    few = torch.randn((*shape[:2], *(max(2, extent // _COARSE) for extent in shape[2:])), generator=generator)
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[len(shape)]
    return functional.interpolate(few, size=shape[2:], mode=mode, align_corners=False) + _NOISE * noise


def compiled(module: torch.nn.Module, sample: torch.Tensor, threads: int) -> tuple[Run, str]:
    """A network in OpenVINO for inputs of the sample's shape, and OpenVINO's version.

    Raises:
        RuntimeError: PyTorch can't trace it, or OpenVINO can't convert it.
    """
    told: Run = module.logits if isinstance(module, OnnxNetwork) else _as_it_is
    started = openvino_network.started(converted(module, sample), threads)

    def run(inputs: torch.Tensor) -> torch.Tensor:
        return told(torch.from_numpy(started(inputs.numpy())))

    return run, openvino_network.version()


def converted(module: torch.nn.Module, sample: torch.Tensor) -> Any:
    """OpenVINO's model of a network, for inputs of the sample's shape. Raises as `compiled`."""
    package, is_file = openvino_network.package(), isinstance(module, OnnxNetwork)
    model = package.Core().read_model(module.content, b"") if is_file else _traced(module, sample)
    return openvino_network.shaped(model, tuple(sample.shape))


def _as_it_is(outputs: torch.Tensor) -> torch.Tensor:
    return outputs


def _traced(module: torch.nn.Module, sample: torch.Tensor) -> Any:
    """OpenVINO's model of a network of PyTorch."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # What is made while PyTorch only infers can't be traced; its warnings are of shapes, which are fixed here.
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = sample.clone()
        traced = torch.jit.freeze(torch.jit.trace(module, sample, check_trace=False))  # type: ignore[no-untyped-call]
    decoder = TorchScriptPythonDecoder(traced, example_input=sample)
    front_end = FrontEndManager().load_by_framework("pytorch")
    loaded = front_end.load(decoder)
    return front_end.convert(loaded)
