"""How arrays travel: the same values come out, a bad block is refused, and nothing unpacks to more than the model."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wardround.foundation.stored import Stored
from wardround.learning.arrays import Arrays, ArraysRefused, to_bytes
from wardround.learning.wire import BLOCK, GROUP, MAGIC, packed, quantised, unpacked

MODEL = {"a": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "b": np.array(1.5, np.float32)}

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
models = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=6),
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=40), elements=finite),
    min_size=1,
    max_size=3,
)


def flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([arrays[name].reshape(-1) for name in sorted(arrays)])


def taken(held: bytes | Stored, like: Arrays) -> np.ndarray:
    return np.concatenate([*unpacked(held, like), np.empty(0, np.float32)])


def refused(held: bytes | Stored, like: Arrays = MODEL) -> str:
    with pytest.raises(ArraysRefused) as refusal:
        list(unpacked(held, like))
    return refusal.value.reason


def crafted(frames: list[bytes], coding: str = "lossless", arrays: object = None) -> bytes:
    told = [["a", [2, 3]], ["b", []]] if arrays is None else arrays
    text = json.dumps({"coding": coding, "arrays": told}).encode()
    blocks = b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames)
    return MAGIC + len(text).to_bytes(4, "little") + text + blocks


def frame(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@given(models)
def test_without_loss_every_bit_comes_back(arrays: Arrays) -> None:
    assert taken(packed(arrays, "lossless"), arrays).tobytes() == flat(arrays).tobytes()
    assert taken(to_bytes(arrays), arrays).tobytes() == flat(arrays).tobytes()


@given(models)
def test_eight_bits_hold_exactly_what_was_quantised_for_them(arrays: Arrays) -> None:
    held = quantised(arrays)

    assert taken(packed(held, "8-bit"), arrays).tobytes() == flat(held).tobytes()
    assert packed(quantised(held), "8-bit") == packed(held, "8-bit")


@given(hnp.arrays(np.float32, st.integers(1, 2500), elements=finite))
def test_eight_bits_are_off_by_less_than_the_largest_of_the_group_over_127(values: np.ndarray) -> None:
    held = quantised({"w": values})["w"]

    for start in range(0, values.size, GROUP):
        part = values[start : start + GROUP].astype(np.float64)
        bound = max(np.abs(part).max() / 127, 2.0**-127)
        assert np.abs(held[start : start + GROUP] - part).max() <= bound


def test_what_eight_bits_cannot_hold_is_not_packed_so() -> None:
    with pytest.raises(ValueError, match="quantised"):
        packed({"w": np.array([1.0, 1e-3], np.float32)}, "8-bit")


def test_blocks_and_files_make_no_difference(tmp_path: Path) -> None:
    arrays = {"w": np.random.default_rng(1).standard_normal(2 * BLOCK + 5, np.float32), **MODEL}
    for coding, values in (("lossless", arrays), ("8-bit", quantised(arrays))):
        file = tmp_path / coding
        file.write_bytes(packed(values, coding))  # type: ignore[arg-type]  # one of the two
        sizes = [block.size for block in unpacked(Stored.of(file), arrays)]
        assert sizes == [BLOCK, BLOCK, 5 + 7]
        assert taken(Stored.of(file), arrays).tobytes() == flat(values).tobytes()


def test_eight_bits_are_at_least_four_times_fewer_bytes() -> None:
    """Of changes as training leaves them: some weights move much more than others."""
    numbers = np.random.default_rng(3)
    change = {
        f"layer{one}": (numbers.standard_normal(300_000) * numbers.gamma(1.0, 1e-3, 300_000)).astype(np.float32)
        for one in range(4)
    }
    assert 4 * len(packed(quantised(change), "8-bit")) <= len(to_bytes(change))
    assert len(packed(change, "lossless")) < 0.95 * len(to_bytes(change))


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (b"", "unreadable"),
        (MAGIC, "unreadable"),
        (MAGIC + b"\xff\xff\xff\xff{}", "unreadable"),
        (MAGIC + b"\2\0\0\0[]", "unreadable"),
        (crafted([frame(bytes(28))], coding="zip"), "unreadable"),
        (crafted([frame(bytes(28))], arrays=[["a", [2, 3]], ["a", []]]), "unreadable"),
        (crafted([frame(bytes(28))], arrays=[["a", [2, 3]]]), "wrong-names"),
        (crafted([frame(bytes(28))], arrays=[["a", [3, 2]], ["b", []]]), "wrong-shape"),
        (crafted([]), "unreadable"),
        (crafted([b""]), "unreadable"),
        (crafted([b"no frame"]), "unreadable"),
        (crafted([frame(bytes(27))]), "unreadable"),
        (crafted([frame(bytes(29))]), "unreadable"),
        (crafted([frame(bytes(28)) + b"x"]), "unreadable"),
        (crafted([frame(bytes(28)), frame(bytes(4))]), "unreadable"),
        (crafted([frame(bytes(28))])[:-1], "unreadable"),
        (crafted([frame(np.full(7, np.nan, "<f4").view(np.uint8).reshape(7, 4).T.tobytes())]), "not-finite"),
        (crafted([frame(bytes([1]) + bytes([128]) + bytes(6))], coding="8-bit"), "unreadable"),
        (crafted([frame(bytes([122]) + bytes([1]) + bytes(6))], coding="8-bit"), "unreadable"),
        (crafted([frame(bytes([129]) + bytes([1]) + bytes(6))], coding="8-bit"), "unreadable"),
    ],
)
def test_what_no_packing_gives_is_refused(held: bytes, reason: str) -> None:
    assert list(unpacked(crafted([frame(bytes(28))]), MODEL))
    assert refused(held) == reason


def test_a_block_that_would_unpack_to_gigabytes_is_refused_unread() -> None:
    bomb = frame(bytes(64 * 1024 * 1024))
    assert len(bomb) < 10_000
    assert refused(crafted([bomb])) == "unreadable"


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_damage_is_refused_or_changes_values_and_does_nothing_else(noise: bytes, at: int) -> None:
    whole = packed(MODEL, "lossless")
    held = whole[:at] + noise + whole[at + len(noise) :]
    with contextlib.suppress(ArraysRefused):
        assert taken(held, MODEL).size == 7
