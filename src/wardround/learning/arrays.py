"""A model's weights as named float32 arrays: their bytes, their digest, and what makes them acceptable.

The bytes are safetensors (https://github.com/huggingface/safetensors, format 0.x): a JSON header and raw
little-endian numbers, so reading them runs no code. Nothing here imports a deep-learning framework.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from wardround.foundation.stored import Held, view

Arrays = dict[str, NDArray[np.float32]]
"""Named weights of one model, or a difference of two of them. Order carries no meaning."""

_BESIDE = "beside"
_HEADER_LIMIT = 100_000_000
"""As the format has it."""

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


def beside(data: Held) -> str | None:
    """What `to_bytes` was told lies beside the arrays in `data`; None where it was told nothing.

    Raises:
        ArraysRefused: `unreadable`.
    """
    header, _ = _parted(data)
    noted = header.get("__metadata__")
    found = noted.get(_BESIDE) if isinstance(noted, dict) else None
    return None if found is None else str(found)


def from_bytes(data: Held) -> Arrays:
    """The arrays in safetensors bytes, to read; values aren't judged, see `check`. Nothing is copied: they lie in
    `data`, or in the pages of its file.

    Raises:
        ArraysRefused: `unreadable`, the bytes are damaged or no safetensors; `wrong-type`, an array isn't
            float32; `empty`, there is none.
    """
    header, values = _parted(data)
    header.pop("__metadata__", None)
    if not header:
        raise ArraysRefused("empty", "there is no array")
    try:
        entries = sorted(_entry(name, **about) for name, about in header.items())
    except (TypeError, ValueError) as error:
        raise _unreadable() from error
    if any(about["dtype"] != "F32" for about in header.values()):
        raise ArraysRefused("wrong-type", "an array is not float32")
    arrays: Arrays = {}
    end = 0
    # One array after the other, without a gap: so no two overlap and nothing lies between them.
    for start, stop, name, shape in entries:
        if start != end or stop - start != 4 * math.prod(shape) or stop > len(values):
            raise _unreadable()
        arrays[name] = np.frombuffer(values[start:stop], "<f4").reshape(shape)
        end = stop
    if end != len(values):
        raise _unreadable()
    return {name: arrays[name] for name in sorted(arrays)}


def header_of(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """What comes before the values in safetensors bytes of arrays with these shapes; the values follow in the order of
    the names, each array in C order, as little-endian float32."""
    header: dict[str, Any] = {}
    end = 0
    for name in sorted(shapes):
        start, end = end, end + 4 * math.prod(shapes[name])
        header[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def blocks(arrays: Mapping[str, NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """All values one after the other, by the order of the names, `size` at a time; the last block may be shorter."""
    waiting: list[NDArray[np.float32]] = []
    held = 0
    for name in sorted(arrays):
        flat = arrays[name].reshape(-1)
        while flat.size:
            part, flat = flat[: size - held], flat[size - held :]
            waiting.append(part)
            held += part.size
            if held == size:
                yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                waiting, held = [], 0
    if waiting:
        yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def _parted(data: Held) -> tuple[dict[str, Any], memoryview]:
    """The header of safetensors bytes, and the values."""
    try:
        whole = view(data)
        length = int.from_bytes(whole[:8], "little")
        if len(whole) < 8 or length > min(_HEADER_LIMIT, len(whole) - 8):
            raise _unreadable()
        header = json.loads(bytes(whole[8 : 8 + length]))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable() from error
    if not isinstance(header, dict):
        raise _unreadable()
    return header, whole[8 + length :]


def _entry(
    name: str, dtype: object, shape: list[int], data_offsets: list[int]
) -> tuple[int, int, str, tuple[int, ...]]:
    start, stop = data_offsets
    if not isinstance(shape, list) or any(type(number) is not int or number < 0 for number in (start, stop, *shape)):
        raise ValueError("sizes are whole numbers")
    return start, stop, name, tuple(shape)


def _unreadable() -> ArraysRefused:
    return ArraysRefused("unreadable", "the bytes are damaged or not in safetensors format")


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
