"""The network of a model package, and the way between its weights and named arrays. Needs torch and MONAI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.unet import UNet

from wardround.learning.arrays import Arrays, ArraysRefused, check
from wardround.learning.bundle import BundleRefused

_NETWORKS: dict[str, type[torch.nn.Module]] = {
    "monai.networks.nets.SegResNet": SegResNet,
    "monai.networks.nets.UNet": UNet,
}


def build(network: Mapping[str, Any], seed: int = 0) -> torch.nn.Module:
    """The network that a bundle's `network_def` describes, with weights drawn from `seed`.

    The target is looked up in a table, never imported by name. The caller's random state is left as it was.

    Raises:
        BundleRefused: the target isn't in the table, or it doesn't take these arguments.
    """
    target = network.get("_target_")
    if target not in _NETWORKS:
        raise BundleRefused("unknown-target", f"network_def names {target!r}; known are {sorted(_NETWORKS)}")
    arguments = {name: value for name, value in network.items() if not name.startswith("_")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return _NETWORKS[target](**arguments)
        except (TypeError, ValueError) as error:
            raise BundleRefused("wrong-network", f"{target} can't be built from its arguments: {error}") from error


def expect_rarely(module: torch.nn.Module, share: float) -> None:
    """Set the bias of the last layer so that an untrained network gives every pixel the probability `share`.

    A network that starts at one half spends its first hundreds of steps learning that tumour is rare.
    """
    biases = [tensor for name, tensor in module.named_parameters() if name.endswith("bias")]
    with torch.no_grad():
        biases[-1].fill_(math.log(share / (1 - share)))


def weights(module: torch.nn.Module) -> Arrays:
    """A copy of every weight and buffer, as float32 arrays.

    Raises:
        ArraysRefused: `wrong-type`, the network has weights that aren't floating point.
    """
    arrays: Arrays = {}
    for name, tensor in sorted(module.state_dict().items()):
        if not tensor.dtype.is_floating_point:
            raise ArraysRefused("wrong-type", f"weight {name} is {tensor.dtype}; choose a norm without counters")
        arrays[name] = tensor.detach().to(torch.float32).contiguous().numpy().copy()
    return arrays


def load_weights(module: torch.nn.Module, arrays: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]) -> None:
    """Copy `arrays` into the network. Raises `ArraysRefused` where they aren't finite or aren't its own."""
    state = module.state_dict()
    check(arrays, like={name: np.broadcast_to(np.float32(0), tensor.shape) for name, tensor in state.items()})
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(torch.from_numpy(np.asarray(arrays[name], order="C")))


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX512_BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
