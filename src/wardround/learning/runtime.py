"""Runs a network in OpenVINO, float32, where that agrees with its reference, and in that where not. Needs torch.

PyTorch as it is (eager) is the reference, and ONNX Runtime that of an ONNX file. Whatever OpenVINO makes of a network
is held against it on a fixed random input of each shape that it is given, before it reads any patient; what was found
goes with the result.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn import functional

from wardround.learning.onnx_network import OnnxNetwork

_log = logging.getLogger(__name__)

AGREES = 0.99999
"""The share of places at which the two have to decide alike."""
_MOST_SHAPES = 4
_COARSE, _NOISE = 8, 0.1
_WHOLE = 5
"""Axes of a volume in a batch."""
_TELEMETRY = "openvino_telemetry"
Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a runtime's outputs compare with the reference's. argmax: the share of places with the same decision, which
    with one output is whether its logit is positive; difference: the largest between two numbers."""

    argmax: float
    difference: float

    @property
    def enough(self) -> bool:
        return self.argmax >= AGREES


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
        key = shape if len(shape) == _WHOLE else shape[1:]
        if key not in self._runs:
            if len(self._runs) == _MOST_SHAPES:
                self._runs.clear()
            self._runs[key] = self._chosen(shape)
        run, self.said = self._runs[key]
        return run(inputs)

    def _chosen(self, shape: tuple[int, ...]) -> tuple[Run, str]:
        if find_spec("openvino") is None:
            return self._reference, f"{self._name}: OpenVINO isn't installed"
        sample = check_input(shape)
        try:
            run, version = compiled(self._reference, sample, self._threads)
            found = agreement(run(sample), self._reference(sample))
        except RuntimeError as error:
            _log.warning("a network runs in %s: OpenVINO can't take it (%s)", self._name, type(error).__name__)
            return self._reference, f"{self._name}: OpenVINO can't take it"
        told = f"argmax {found.argmax:.6f}, largest difference {found.difference:.1e}"
        if not found.enough:
            _log.warning("a network runs in %s: OpenVINO disagrees, %s", self._name, told)
            return self._reference, f"{self._name}: OpenVINO disagreed, {told}"
        return run, f"OpenVINO {version}, against {self._name}: {told}"


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


def agreement(found: torch.Tensor, reference: torch.Tensor) -> Agreement:
    """Compare two outputs (N, C, …) of one shape; what isn't finite agrees with nothing."""
    if found.shape != reference.shape or not bool(torch.isfinite(found).all()):
        return Agreement(0.0, float("inf"))
    alike = (found > 0) == (reference > 0) if reference.shape[1] == 1 else found.argmax(1) == reference.argmax(1)
    return Agreement(float(alike.double().mean()), float((found - reference).abs().max()))


def compiled(module: torch.nn.Module, sample: torch.Tensor, threads: int) -> tuple[Run, str]:
    """A network in OpenVINO for inputs of the sample's shape, and OpenVINO's version.

    Raises:
        RuntimeError: PyTorch can't trace it, or OpenVINO can't convert it.
    """
    # OpenVINO counts its uses, and tells its makers, through this package; without it, it doesn't.
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # as Python has it for what mustn't be imported
    import openvino

    core = openvino.Core()
    told: Run
    if isinstance(module, OnnxNetwork):
        model, told = core.read_model(module.content, b""), module.logits
    else:
        model, told = _traced(module, sample), _as_it_is
    # Slices come in batches of any number, patches of volumes one at a time, which is faster when it is fixed.
    model.reshape([sample.shape[0] if sample.dim() == _WHOLE else -1, *sample.shape[1:]])
    hints = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY", "INFERENCE_NUM_THREADS": threads}
    network = core.compile_model(model, "CPU", hints)

    def run(inputs: torch.Tensor) -> torch.Tensor:
        return told(torch.from_numpy(network(inputs.contiguous().numpy())[0].copy()))

    return run, ".".join(openvino.__version__.split(".")[:2])


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
