"""A model's weights as named float32 arrays: their bytes, their digest, and what makes them acceptable.

The bytes are safetensors (https://github.com/huggingface/safetensors, format 0.x): a JSON header and raw
little-endian numbers, so reading them runs no code. Nothing here imports a deep-learning framework.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

Arrays = dict[str, NDArray[np.float32]]
"""Named weights of one model, or a difference of two of them. Order carries no meaning."""

_BESIDE = "beside"

Reason = Literal[
    "unreadable",
    "empty",
    "wrong-names",
    "wrong-shape",
    "wrong-type",
    "not-finite",
    "norm-too-large",
    "wrong-weight",
]


class ArraysRefused(ValueError):
    """Arrays that aren't what they have to be.

    `reason` is a short code that may be told to another party; the message names arrays of the model and
    numbers only.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


def to_bytes(arrays: Mapping[str, NDArray[np.float32]], *, beside: str | None = None) -> bytes:
    """Safetensors bytes of `arrays`, the same for the same content whatever the order of the names.

    Args:
        beside: the digest of an object that belongs to these arrays; it goes into the header.

    Raises:
        ArraysRefused: `wrong-type`, an array isn't float32; `empty`, there is none.
    """
    _check_types(arrays)
    ordered = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    return save(ordered, metadata=None if beside is None else {_BESIDE: beside})


def beside(data: bytes) -> str | None:
    """What `to_bytes` was told lies beside the arrays in `data`; None where it was told nothing.

    Raises:
        ArraysRefused: `unreadable`.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        found = header.get("__metadata__", {}).get(_BESIDE)
    except (ValueError, AttributeError) as error:
        raise ArraysRefused("unreadable", "the bytes are damaged or not in safetensors format") from error
    return None if found is None else str(found)


def from_bytes(data: bytes) -> Arrays:
    """The arrays in safetensors bytes; values aren't judged, see `check`.

    Raises:
        ArraysRefused: `unreadable`, the bytes are damaged or no safetensors; `wrong-type`, an array isn't
            float32; `empty`, there is none.
    """
    try:
        arrays = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ArraysRefused("unreadable", "the bytes are damaged or not in safetensors format") from error
    _check_types(arrays)
    return {name: arrays[name] for name in sorted(arrays)}


def digest(arrays: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256, in hexadecimal, of the content of `arrays`: names, shapes and little-endian values.

    For each name in sorted order: length of the UTF-8 name (8 bytes, big-endian), the name, number of
    dimensions and each extent (8 bytes, big-endian), the values in C order. It depends on neither the file
    format nor its version. Raises `ArraysRefused` as `to_bytes` does.
    """
    _check_types(arrays)
    state = sha256(b"wardround-arrays-1\n")
    for name in sorted(arrays):
        encoded, array = name.encode(), arrays[name]
        state.update(len(encoded).to_bytes(8, "big"))
        state.update(encoded)
        for number in (array.ndim, *array.shape):
            state.update(number.to_bytes(8, "big"))
        state.update(np.asarray(array, dtype="<f4", order="C").tobytes())
    return state.hexdigest()


def norm(arrays: Mapping[str, NDArray[np.floating[Any]]]) -> float:
    """The Euclidean norm of all values together, summed in float64."""
    total = 0.0
    for name in sorted(arrays):
        flat = arrays[name].astype(np.float64, copy=False).ravel()
        total += float(flat @ flat)
    return math.sqrt(total)


def difference(arrays: Mapping[str, NDArray[np.float32]], base: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """`arrays` - `base`, name by name. Raises `ArraysRefused` where they aren't of the same model."""
    check(arrays, like=base)
    return {name: np.asarray(arrays[name] - base[name]) for name in sorted(base)}


def total(arrays: Mapping[str, NDArray[np.float32]], delta: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """`arrays` + `delta`, name by name. Raises `ArraysRefused` where they aren't of the same model."""
    check(delta, like=arrays)
    return {name: np.asarray(arrays[name] + delta[name]) for name in sorted(arrays)}


def check(
    arrays: Mapping[str, NDArray[np.float32]],
    *,
    like: Mapping[str, NDArray[np.float32]] | None = None,
    largest_norm: float | None = None,
) -> None:
    """Refuse arrays that aren't finite float32, don't match the model `like`, or are longer than `largest_norm`.

    Raises:
        ArraysRefused: with the reason of the first check that failed.
    """
    _check_types(arrays)
    if like is not None:
        missing, unknown = sorted(like.keys() - arrays.keys()), sorted(arrays.keys() - like.keys())
        if missing or unknown:
            raise ArraysRefused(
                "wrong-names",
                f"{len(missing)} arrays of the model are missing and {len(unknown)} are unknown to it",
            )
        for name in sorted(like):
            if arrays[name].shape != like[name].shape:
                raise ArraysRefused(
                    "wrong-shape",
                    f"array {name} has shape {arrays[name].shape}, the model's has {like[name].shape}",
                )
    for name in sorted(arrays):
        if not np.isfinite(arrays[name]).all():
            raise ArraysRefused("not-finite", f"array {name} holds NaN or infinity")
    if largest_norm is not None and (length := norm(arrays)) > largest_norm:
        raise ArraysRefused("norm-too-large", f"the norm is {length:.6g}, above the limit of {largest_norm:.6g}")


def _check_types(arrays: Mapping[str, NDArray[np.float32]]) -> None:
    if not arrays:
        raise ArraysRefused("empty", "there is no array")
    for name in sorted(arrays):
        if not isinstance(arrays[name], np.ndarray) or arrays[name].dtype != np.float32:
            raise ArraysRefused("wrong-type", f"array {name} is not float32")
