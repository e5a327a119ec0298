"""Weights that another program saved, read without running what its file may hold. Needs torch."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wardround.learning import network
from wardround.learning.arrays import Arrays, ArraysRefused, check, from_bytes
from wardround.learning.bundle import BundleRefused

_NESTED = ("state_dict", "model", "net", "network")


def read_foreign(models: Path, definition: Mapping[str, Any]) -> Arrays:
    """The weights in `models/model.safetensors` or `models/model.pt` of a bundle, which have to be the network's own.

    `model.pt` is read with torch's `weights_only`: it may hold tensors and plain containers, and nothing that runs.
    `model.ts` is a program and isn't read.

    Raises:
        BundleRefused: `no-weights`, `wrong-weights`, `wrong-network`.
    """
    safe, pickled = models / "model.safetensors", models / "model.pt"
    if safe.is_file():
        arrays = from_bytes(safe.read_bytes())
    elif pickled.is_file():
        arrays = _unpickled(pickled)
    else:
        raise BundleRefused("no-weights", "the bundle has neither models/model.pt nor models/model.safetensors")
    fresh = network.weights(network.build(definition))
    try:
        check(arrays, like=fresh)
    except ArraysRefused as error:
        raise BundleRefused("wrong-weights", f"the bundle's weights aren't its network's: {error}") from error
    return arrays


def _unpickled(path: Path) -> Arrays:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise BundleRefused(
            "wrong-weights", "models/model.pt holds more than tensors, or is damaged; ask for a state_dict"
        ) from error
    for name in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
            break
    if not isinstance(found, Mapping):
        raise BundleRefused("wrong-weights", "models/model.pt holds no table of tensors")
    arrays: Arrays = {}
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise BundleRefused("wrong-weights", "models/model.pt holds something that is no tensor")
        if name.rpartition(".")[2] != network.COUNTER:
            arrays[name] = np.asarray(tensor.detach().to(torch.float32).contiguous().numpy())
    return arrays
