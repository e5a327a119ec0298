"""How arrays travel: in blocks that are packed and unpacked one at a time, in memory for one of them.

A packed update is the 8 bytes `MAGIC`, the length of its header (4 bytes, little-endian), the header (JSON: the coding,
and each array's name and shape in the order of the names), and then the blocks: of all values one after the other,
`BLOCK` at a time, each as its length (4 bytes, little-endian) and its Zstandard frame (RFC 8878). What a frame holds:

- `lossless`: the values' bytes, little-endian float32, shuffled: first all first bytes, then all second ones, ...; the
  bytes that hold sign and exponent are alike and so become few (the shuffle of HDF5 and Blosc);
- `8-bit`: for every `GROUP` values an exponent (a signed byte), then for every value a signed byte from -127 to 127; a
  value is its byte times 2 to the exponent of its group.

The 8-bit values are exact in float32, so that packing what was unpacked gives the same bytes. Which values to send for
those that were meant is for whoever packs (`quantised`); what is lost of one update is added to the next (error
feedback: Seide, Fu, Droppo, Li, Yu, 1-Bit Stochastic Gradient Descent, Interspeech 2014; Karimireddy, Rebjock, Stich,
Jaggi, Error Feedback Fixes SignSGD, ICML 2019).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import numpy as np
import zstandard
from numpy.typing import NDArray

from wardround.foundation.stored import Held, Reader
from wardround.learning.arrays import Arrays, ArraysRefused, blocks, check, from_bytes, header_of

Coding = Literal["lossless", "8-bit"]

MAGIC = b"WRUPDAT1"
BLOCK = 256 * 1024
"""Values in a block: those who put updates together hold several of them at a time, for sums in twice the width."""
GROUP = 1024
"""Values that share an exponent."""
_HEADER_LIMIT = 64 * 1024 * 1024
_FRAME_SLACK = 64 * 1024
_LOWEST, _HIGHEST = -126, 121
"""The exponents of groups: what is smaller becomes 0, and 127 times the largest power still fits float32."""


def packed(arrays: Mapping[str, NDArray[np.float32]], coding: Coding) -> bytes:
    """`arrays` as they travel, the same bytes for the same arrays.

    Raises:
        ArraysRefused: as `check`.
        ValueError: a value isn't one that the coding can hold; see `quantised`.
    """
    return b"".join(packing(arrays, coding))


def packing(arrays: Mapping[str, NDArray[np.float32]], coding: Coding) -> Iterator[bytes]:
    """The bytes of `packed`, some at a time. Raises as that does, `ArraysRefused` before any."""
    check(arrays)
    header = {"coding": coding, "arrays": [[name, list(arrays[name].shape)] for name in sorted(arrays)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    yield MAGIC + len(text).to_bytes(4, "little") + text
    compressor = _compressor()
    for values in blocks(arrays, BLOCK):
        frame = compressor.compress(_shuffled(values) if coding == "lossless" else _grouped(values))
        yield len(frame).to_bytes(4, "little") + frame


def quantised(arrays: Mapping[str, NDArray[np.float32]], *, towards_zero: bool = False) -> Arrays:
    """The nearest arrays to `arrays` whose values the coding `8-bit` can hold, all of them finite before and after.
    With `towards_zero` the nearest of which no value is larger, so that no norm is.
    """
    check(arrays)
    flat = [_scaled(*_levels(values, np.trunc if towards_zero else np.rint)) for values in blocks(arrays, BLOCK)]
    return shaped(np.concatenate(flat) if flat else np.empty(0, np.float32), arrays)


def unpacked(held: Held, like: Mapping[str, NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The values of a packed update of the model `like`, or of one in safetensors bytes: one after the other by the
    order of the names, in blocks of `BLOCK` values but for the last.

    Every block is finite. One that isn't sound raises when its turn comes, so look at all before any is used.

    Raises:
        ArraysRefused: `unreadable`, `wrong-names`, `wrong-shape`, `wrong-type`, `empty`, `not-finite`.
    """
    try:
        whole = Reader(held)
        if whole.at(0, len(MAGIC)) == MAGIC:
            yield from _packed_blocks(whole, like)
        else:
            yield from _plain(held, like)
    except OSError as error:
        raise _unreadable("it can't be read") from error


def piece_packed(piece: bytes) -> bytes:
    """A piece of safetensors bytes as it travels to a site, packed without loss as a block of `lossless` is.

    Its length is a multiple of four. A header that is in it is shuffled with the values.
    """
    return _compressor().compress(_shuffled(np.frombuffer(piece, "<f4")))


def piece_unpacked(packed: bytes | memoryview, size: int) -> memoryview:
    """The piece of `size` bytes that `piece_packed` was given; no more memory than that is taken, whatever it says.

    Raises:
        ArraysRefused: `unreadable`.
    """
    if size % 4:
        raise _unreadable("a piece has another size than it should")
    held = _inflated(zstandard.ZstdDecompressor(), bytes(packed), size)
    return _values(held, "lossless", size // 4).data.cast("B")


def arrays_of(held: Held, like: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """All of an update, in memory. Raises as `unpacked` does."""
    return shaped(np.concatenate([*unpacked(held, like), np.empty(0, np.float32)]), like)


def _packed_blocks(whole: Reader, like: Mapping[str, NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    coding, at = _header(whole, like)
    count = sum(array.size for array in like.values())
    decompressor = zstandard.ZstdDecompressor()
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        length = int.from_bytes(whole.at(at, 4), "little")
        # A frame of what can't be made smaller is a little larger; no more than that is taken into memory.
        if not 0 < length <= _frame_size(coding, size) + _FRAME_SLACK:
            raise _unreadable("a block has another size than it should")
        at += 4 + length
        if at > whole.size:
            raise _unreadable("it ends early")
        # In one expression: between two blocks nothing is held of either, since many updates are unpacked side by side.
        yield _finite(
            _values(_inflated(decompressor, whole.at(at - length, length), _frame_size(coding, size)), coding, size)
        )
    if at != whole.size:
        raise _unreadable("it goes on after its end")


def _plain(held: Held, like: Mapping[str, NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    arrays = from_bytes(held)
    _check_shapes({name: array.shape for name, array in arrays.items()}, like)
    header = header_of({name: array.shape for name, array in arrays.items()})
    whole = Reader(held)
    if whole.at(0, len(header)) != header:
        # Bytes that another program made may have the arrays in another order.
        yield from map(_finite, blocks(arrays, BLOCK))
        return
    for start in range(len(header), whole.size, 4 * BLOCK):
        yield _finite(np.frombuffer(whole.at(start, 4 * BLOCK), "<f4"))


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise ArraysRefused("not-finite", "a value is NaN or infinite")
    return values


def _header(whole: Reader, like: Mapping[str, NDArray[np.float32]]) -> tuple[Coding, int]:
    """The coding, and where the blocks begin."""
    start = len(MAGIC) + 4
    length = int.from_bytes(whole.at(len(MAGIC), 4), "little")
    if length > min(_HEADER_LIMIT, whole.size - start):
        raise _unreadable("its header is cut short")
    try:
        header = json.loads(whole.at(start, length))
        coding, entries = header["coding"], header["arrays"]
        shapes = {str(name): tuple(map(int, shape)) for name, shape in entries}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable("its header is no header") from error
    if coding not in get_args(Coding) or len(shapes) != len(entries):
        raise _unreadable("its header is no header")
    _check_shapes(shapes, like)
    return coding, start + length


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], like: Mapping[str, NDArray[np.float32]]) -> None:
    if shapes.keys() != like.keys():
        raise ArraysRefused("wrong-names", "the arrays' names aren't the model's")
    for name, shape in shapes.items():
        if shape != like[name].shape:
            raise ArraysRefused("wrong-shape", f"array {name} has shape {shape}, the model's has {like[name].shape}")


def _frame_size(coding: Coding, size: int) -> int:
    return 4 * size if coding == "lossless" else size + -(-size // GROUP)


def _inflated(decompressor: zstandard.ZstdDecompressor, frame: bytes, size: int) -> bytes:
    """What the frame holds, which has to be `size` bytes: no more memory than that is taken, whatever it says."""
    try:
        if zstandard.frame_content_size(frame) != size:
            raise _unreadable("a block has another size than it should")
        held = decompressor.decompress(frame, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _unreadable("a block is damaged") from error
    if len(held) != size:
        raise _unreadable("a block has another size than it should")
    return held


def _values(held: bytes, coding: Coding, size: int) -> NDArray[np.float32]:
    if coding == "lossless":
        planes = np.frombuffer(held, np.uint8).reshape(4, size)
        # Plane by plane: to turn all of it round at once takes more than twice as long.
        whole = np.empty((size, 4), np.uint8)
        for place, plane in enumerate(planes):
            whole[:, place] = plane
        return whole.view("<f4").reshape(size)
    groups = -(-size // GROUP)
    exponents, levels = np.frombuffer(held, np.int8, groups), np.frombuffer(held, np.int8, size, groups)
    if not _LOWEST <= exponents.min(initial=0) <= exponents.max(initial=0) <= _HIGHEST or levels.min(initial=0) < -127:
        raise _unreadable("a block holds what no packing gives")
    return _scaled(exponents, levels)


def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=1, write_content_size=True)


def _shuffled(values: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(values.size, 4).T.tobytes()


def _grouped(values: NDArray[np.float32]) -> bytes:
    exponents, levels = _levels(values)
    if not np.array_equal(_scaled(exponents, levels), values):
        raise ValueError("the values weren't quantised before they were packed so")
    return exponents.tobytes() + levels.tobytes()


def _levels(values: NDArray[np.float32], rounded: np.ufunc = np.rint) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Exponents of the groups, and each value's level, without its fraction."""
    groups = -(-values.size // GROUP)
    flat = np.zeros(groups * GROUP, np.float32)
    flat[: values.size] = values
    padded = flat.reshape(groups, GROUP)
    largest = np.abs(padded).max(axis=1).astype(np.float64)
    # The least power of two of which 127 make the largest value of the group.
    exponents = np.full(groups, _LOWEST)
    above = largest > 127 * 2.0**_LOWEST
    exponents[above] = np.ceil(np.log2(largest[above] / 127)).astype(int)
    # A logarithm can be off by its last bit.
    exponents += largest > 127 * np.exp2(exponents.astype(np.float64))
    exponents = np.minimum(exponents, _HIGHEST)
    levels = np.clip(rounded(padded * np.exp2(-exponents.astype(np.float64))[:, None]), -127, 127).astype(np.int8)
    return exponents.astype(np.int8), levels.reshape(-1)[: values.size]


def _scaled(exponents: NDArray[np.int8], levels: NDArray[np.int8]) -> NDArray[np.float32]:
    scales = np.repeat(np.exp2(exponents.astype(np.float32)), GROUP)[: levels.size]
    return np.asarray(levels * scales, np.float32)


def shaped(flat: NDArray[np.float32], like: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """Values one after the other as arrays with the names and shapes of `like`."""
    arrays: Arrays = {}
    start = 0
    for name in sorted(like):
        size = math.prod(like[name].shape)
        arrays[name] = flat[start : start + size].reshape(like[name].shape)
        start += size
    return arrays


def _unreadable(why: str) -> ArraysRefused:
    return ArraysRefused("unreadable", f"the update can't be unpacked: {why}")
