"""A network that comes as an ONNX file, standing in for a torch module. Needs torch and ONNX Runtime.

ONNX Runtime is its reference, as eager PyTorch is of other networks: what OpenVINO makes of the file is held against
it. A file that names other files to read is refused by ONNX Runtime, which is asked first and told that they lie
nowhere; OpenVINO would read them. No library of operators is loaded.
"""

from __future__ import annotations

from typing import Any

import torch

from wardround.learning.bundle import Bundle
from wardround.learning.finished import OUTPUTS
from wardround.learning.parts import BundleRefused
from wardround.learning.table import TablePreparation
from wardround.learning.volume import VolumePreparation

_LARGEST = 2 * 1024**3
_NOWHERE = "/nonexistent"
_EDGE = 1e-6
"""A probability is this far from 0 and 1 at least, so that it has a logit."""


def _faults() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises at a file that it can't load; these have no class in common."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
    )


class OnnxNetwork(torch.nn.Module):
    """Takes and gives what the package's preparation says, logits whatever the file itself tells.

    content: the file.

    Raises:
        BundleRefused: `wrong-onnx`, ONNX Runtime can't load it, or it isn't of one input and one output of this kind.
    """

    def __init__(self, bundle: Bundle) -> None:
        import onnxruntime

        super().__init__()
        assert bundle.onnx is not None  # noqa: S101 - `network.built_for` chose by it
        if bundle.onnx.stat().st_size > _LARGEST:
            raise BundleRefused("wrong-onnx", "the ONNX file is larger than 2 GiB")
        self.content = bundle.onnx.read_bytes()
        self._probabilities = bundle.network.get("outputs") == OUTPUTS[1]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(self.content, options, providers=["CPUExecutionProvider"])
        except _faults() as error:
            raise BundleRefused("wrong-onnx", f"ONNX Runtime can't load it ({type(error).__name__})") from None
        self._name = self._checked(bundle)

    @property
    def reference(self) -> str:
        """What runs it where nothing faster agrees."""
        return "ONNX Runtime"

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.logits(torch.from_numpy(self._session.run(None, {self._name: inputs.contiguous().numpy()})[0]))

    def logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """What the file tells, as logits."""
        if not self._probabilities:
            return outputs
        sure = outputs.clamp(_EDGE, 1 - _EDGE)
        return torch.logit(sure) if outputs.shape[1] == 1 else torch.log(sure)

    def _checked(self, bundle: Bundle) -> str:
        preparation = bundle.preparation
        assert not isinstance(preparation, TablePreparation)  # noqa: S101 - `check_finished` refuses it
        if isinstance(preparation, VolumePreparation):
            wanted: list[int | None] = [1, 1, *preparation.patch]
        else:
            wanted = [None, preparation.inputs, *(extent // preparation.fold for extent in preparation.grid)]
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or {inputs[0].type, outputs[0].type} != {"tensor(float)"}:
            raise BundleRefused("wrong-onnx", "the ONNX file has another than one input and one output of float32")
        found: list[Any] = inputs[0].shape
        fits = len(found) == len(wanted) and all(
            not isinstance(have, int) or have == want for have, want in zip(found, wanted, strict=True)
        )
        if not fits:
            told = "x".join("any" if one is None else str(one) for one in wanted)
            raise BundleRefused("wrong-onnx", f"the ONNX file takes {found}, and the preparation gives {told}")
        return str(inputs[0].name)
