"""The network of a model package, and the way between its weights and named arrays. Needs torch and MONAI."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from wardround.learning.arrays import Arrays, ArraysRefused, check
from wardround.learning.bundle import OWN_TARGET, SCRIPTS, Bundle, BundleRefused
from wardround.learning.finished import ONNX

_NETWORKS = {
    "monai.networks.nets.AttentionUnet": ("monai.networks.nets.attentionunet", "AttentionUnet"),
    "monai.networks.nets.BasicUNet": ("monai.networks.nets.basic_unet", "BasicUNet"),
    "monai.networks.nets.Classifier": ("monai.networks.nets.classifier", "Classifier"),
    "monai.networks.nets.DenseNet121": ("monai.networks.nets.densenet", "DenseNet121"),
    "monai.networks.nets.FullyConnectedNet": ("monai.networks.nets.fullyconnectednet", "FullyConnectedNet"),
    "monai.networks.nets.SegResNet": ("monai.networks.nets.segresnet", "SegResNet"),
    "monai.networks.nets.SwinUNETR": ("monai.networks.nets.swin_unetr", "SwinUNETR"),
    "monai.networks.nets.UNet": ("monai.networks.nets.unet", "UNet"),
    "monai.networks.nets.VNet": ("monai.networks.nets.vnet", "VNet"),
    "torch.nn.Linear": ("torch.nn", "Linear"),
}
"""Where each target of `bundle.TARGETS` is; what one package needs is imported for it alone."""

_MLFLOW = "mlflow"

OWN_CODE: Path | None = None
"""The folder of the package whose own Python may be imported here. Set in a jail, and nowhere else."""

COUNTER = "num_batches_tracked"
"""A whole number that batch norm keeps and, with a momentum of its own, never reads: it is no weight."""


def build(network: Mapping[str, Any], seed: int = 0) -> torch.nn.Module:
    """The network that a bundle's `network_def` describes, with weights drawn from `seed`.

    The target is looked up in a table, and nothing else is imported; a class of the package's own in a jail alone. The
    caller's random state is left as it was.

    Raises:
        BundleRefused: the target isn't in the table, or it doesn't take these arguments; `own-code`, this is no jail.
    """
    target = network.get("_target_")
    if isinstance(target, str) and (own := OWN_TARGET.fullmatch(target)) is not None:
        where = _own(own[1]), own[2]
    elif target in _NETWORKS:
        where = _NETWORKS[target]
    else:
        raise BundleRefused("unknown-target", f"network_def names {target!r}; known are {sorted(_NETWORKS)}")
    arguments = {name: value for name, value in network.items() if not name.startswith("_")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module, name = where
            with _without_mlflow():
                found = import_module(module)
            made: torch.nn.Module = getattr(found, name)(**arguments)
            return made
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            raise BundleRefused("wrong-network", f"{target} can't be built from its arguments: {error}") from error


@contextmanager
def _without_mlflow() -> Iterator[None]:
    """MONAI imports MLflow where that is installed, which takes nearly as long as the rest, and nothing here uses."""
    if _MLFLOW in sys.modules:
        yield
        return
    sys.modules[_MLFLOW] = None  # type: ignore[assignment]  # as Python has it for what mustn't be imported
    try:
        yield
    finally:
        del sys.modules[_MLFLOW]


class Ensemble(torch.nn.Module):
    """Members whose outputs are logits of probabilities, or numbers; it gives the same in one: the logit of the mean
    probability, or the mean number.

    Args:
        pairs: two outputs (N, 2, …) stand for one logit, the second's less the first's.
    """

    def __init__(self, members: Sequence[torch.nn.Module], *, probabilities: bool, pairs: bool) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)
        self._probabilities, self._pairs = probabilities, pairs

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        told = torch.stack([member(inputs).float() for member in self.members])
        if not self._probabilities:
            return told.mean(0)
        logits = told[:, :, 1:] - told[:, :, :1] if self._pairs else told
        # log(mean p) - log(mean (1 - p)): a probability that rounds to 1 would have no logit.
        yes, no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        mean = torch.logsumexp(yes, 0) - torch.logsumexp(no, 0)
        return torch.cat([torch.zeros_like(mean), mean], 1) if self._pairs else mean


def built_for(bundle: Bundle) -> torch.nn.Module:
    """The network of a package; of an ensemble's, all members.

    Raises:
        BundleRefused: as `build`; `wrong-onnx`; `program`, it is no network.
    """
    if bundle.network["_target_"] == ONNX:
        from wardround.learning.onnx_network import OnnxNetwork

        return OnnxNetwork(bundle)
    if bundle.finished:
        raise BundleRefused("program", f"{bundle.name} is a program, which runs in a jail alone")
    if bundle.members == 1:
        return build(bundle.network)
    return Ensemble(
        [build(bundle.network) for _ in range(bundle.members)],
        probabilities=bundle.target is None or bundle.target.kind == "class",
        pairs=bundle.target is None and bundle.network.get("out_channels") == 2,
    )


def _own(module: str) -> str:
    """Make a module of the package's own one that can be imported; its name. Raises `BundleRefused` (`own-code`)."""
    if OWN_CODE is None:
        raise BundleRefused("own-code", "a package with Python of its own is used in a jail alone")
    name = f"{SCRIPTS}.{module}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, OWN_CODE / SCRIPTS / f"{module}.py")
        assert spec is not None and spec.loader is not None  # noqa: S101 - the bundle was checked to hold it
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return name


def expect_rarely(module: torch.nn.Module, share: float) -> None:
    """Set the bias of the last layer so that an untrained network gives every pixel the probability `share`.

    A network that starts at one half spends its first hundreds of steps learning that tumour is rare.
    """
    biases = [tensor for name, tensor in module.named_parameters() if name.endswith("bias")]
    with torch.no_grad():
        biases[-1].fill_(math.log(share / (1 - share)))


def named(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every weight and buffer by its name, itself and no copy."""
    return {name: one for name, one in sorted(module.state_dict().items()) if name.rpartition(".")[2] != COUNTER}


def weights(module: torch.nn.Module) -> Arrays:
    """A copy of every weight and buffer, as float32 arrays.

    Raises:
        ArraysRefused: `wrong-type`, the network has weights that aren't floating point.
    """
    arrays: Arrays = {}
    for name, tensor in named(module).items():
        if not tensor.dtype.is_floating_point:
            raise ArraysRefused("wrong-type", f"weight {name} is {tensor.dtype}; choose a norm without counters")
        arrays[name] = tensor.detach().to(torch.float32).contiguous().numpy().copy()
    return arrays


def load_weights(module: torch.nn.Module, arrays: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]) -> None:
    """Copy `arrays` into the network. Raises `ArraysRefused` where they aren't finite or aren't its own."""
    state = named(module)
    if not state and not arrays:
        return  # a finished model has its weights in its file
    check(arrays, like={name: np.broadcast_to(np.float32(0), tensor.shape) for name, tensor in state.items()})
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(torch.from_numpy(np.array(arrays[name], order="C")))  # of a file, it may not be written to


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX512_BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
