"""What an array file may hold, and that its digest is about content."""

import json
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load

from wardround.foundation.stored import Stored
from wardround.learning.arrays import (
    ArraysRefused,
    beside,
    blocks,
    check,
    difference,
    digest,
    from_bytes,
    header_of,
    norm,
    to_bytes,
    total,
)

MODEL = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(1.5, np.float32)}

arrays_of_any_kind = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(
        lambda name: name != "__metadata__"
    ),
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)),
    min_size=1,
    max_size=4,
)


def reason(call, *args, **kwargs):
    with pytest.raises(ArraysRefused) as refusal:
        call(*args, **kwargs)
    return refusal.value.reason


@given(arrays_of_any_kind)
def test_bytes_come_back_as_the_same_arrays(arrays):
    back = from_bytes(to_bytes(arrays))
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()
    assert digest(back) == digest(arrays)


def test_digest_and_bytes_do_not_depend_on_order_or_memory_layout():
    other = {"b": MODEL["b"], "a": np.asfortranarray(MODEL["a"])}
    assert digest(other) == digest(MODEL)
    assert to_bytes(other) == to_bytes(MODEL)


@pytest.mark.parametrize(
    "changed",
    [
        {"a": MODEL["a"].reshape(3, 2), "b": MODEL["b"]},
        {"a": MODEL["a"], "c": MODEL["b"]},
        {"a": MODEL["a"]},
        {"a": np.nextafter(MODEL["a"], np.float32(9)), "b": MODEL["b"]},
        {"a": MODEL["a"], "b": MODEL["b"].reshape(1)},
    ],
    ids=["shape", "name", "one less", "last bit", "dimensions"],
)
def test_digest_tells_any_change(changed):
    assert digest(changed) != digest(MODEL)


def test_digest_is_the_one_that_is_specified():
    # SHA-256 of the documented layout, put together by hand: what another implementation must arrive at.
    layout = (
        b"wardround-arrays-1\n"
        + (1).to_bytes(8, "big") + b"w"
        + (1).to_bytes(8, "big") + (2).to_bytes(8, "big")
        + b"\x00\x00\x80\x3f\x00\x00\x00\xc0"
    )  # fmt: skip
    assert digest({"w": np.array([1.0, -2.0], np.float32)}) == sha256(layout).hexdigest()


@pytest.mark.parametrize("data", [b"", b"\x80\x04K\x01.", b"\xff" * 64, to_bytes(MODEL)[:-1]])
def test_damaged_bytes_are_refused_without_running_anything(data):
    assert reason(from_bytes, data) == "unreadable"


@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_a_refusal(data):
    try:
        from_bytes(data)
    except ArraysRefused as refusal:
        assert refusal.reason in {"unreadable", "empty", "wrong-type"}


@given(st.integers(0, 1000), st.integers(0, 255))
def test_a_flipped_byte_in_a_good_file_is_refused_or_gives_arrays(position, value):
    data = bytearray(to_bytes(MODEL))
    data[position % len(data)] = value
    try:
        from_bytes(bytes(data))
    except ArraysRefused as refusal:
        assert refusal.reason in {"unreadable", "empty", "wrong-type"}


def test_check_says_why():
    good = {name: array.copy() for name, array in MODEL.items()}
    check(good, like=MODEL, largest_norm=8.0)
    assert reason(check, {}) == "empty"
    assert reason(check, {**good, "c": good["b"]}, like=MODEL) == "wrong-names"
    assert reason(check, {"a": good["a"]}, like=MODEL) == "wrong-names"
    assert reason(check, {**good, "a": good["a"].T}, like=MODEL) == "wrong-shape"
    assert reason(check, {**good, "b": np.array(1.5)}, like=MODEL) == "wrong-type"
    assert reason(check, {**good, "b": np.array(np.nan, np.float32)}, like=MODEL) == "not-finite"
    assert reason(check, {**good, "b": np.array(-np.inf, np.float32)}, like=MODEL) == "not-finite"
    assert reason(check, good, largest_norm=7.0) == "norm-too-large"
    assert reason(to_bytes, {"a": np.zeros(2, np.float64)}) == "wrong-type"


def test_norm_is_euclidean_over_all_arrays_and_does_not_overflow():
    assert norm({"a": np.array([3.0], np.float32), "b": np.array([[4.0]], np.float32)}) == 5.0
    assert norm({"a": np.full(4, 1e30, np.float32)}) == pytest.approx(2e30)


def test_a_delta_takes_one_model_to_the_other():
    trained = {name: np.asarray(array * 2 + 1) for name, array in MODEL.items()}
    arrived = total(MODEL, difference(trained, MODEL))
    assert digest(arrived) == digest(trained)
    assert reason(difference, {"a": trained["a"]}, MODEL) == "wrong-names"


def test_what_lies_beside_arrays_is_told_by_their_header_and_is_no_part_of_them():
    alone, together = to_bytes(MODEL), to_bytes(MODEL, beside="f" * 64)
    assert (beside(alone), beside(together)) == (None, "f" * 64)
    assert digest(from_bytes(together)) == digest(from_bytes(alone))
    assert to_bytes(MODEL, beside="f" * 64) == together


@given(st.binary(max_size=64) | st.binary(max_size=40).map(lambda tail: (len(tail)).to_bytes(8, "little") + tail))
def test_a_header_that_cannot_be_read_tells_nothing(data):
    try:
        assert beside(data) is None
    except ArraysRefused as refusal:
        assert refusal.reason == "unreadable"


@given(arrays_of_any_kind)
def test_a_header_of_our_own_makes_the_bytes_that_safetensors_makes(arrays):
    values = b"".join(block.tobytes() for block in blocks(arrays, 5))
    assert load(header_of({name: array.shape for name, array in arrays.items()}) + values).keys() == arrays.keys()
    assert digest(from_bytes(header_of({n: a.shape for n, a in arrays.items()}) + values)) == digest(arrays)


def test_arrays_in_a_file_are_read_where_they_lie(tmp_path):
    file = tmp_path / "model"
    file.write_bytes(to_bytes(MODEL, beside="ab" * 32))

    held = from_bytes(Stored.of(file))

    assert digest(held) == digest(MODEL)
    assert beside(Stored.of(file)) == "ab" * 32
    assert not held["a"].flags.owndata
    file.unlink()
    assert digest(held) == digest(MODEL)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [3], "data_offsets": [4, 16]}},
        {"a": {"dtype": "F32", "shape": [-3], "data_offsets": [0, 12]}},
        {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0]}},
        {"a": {"dtype": "F32", "shape": "3", "data_offsets": [0, 12]}},
        {"a": {"dtype": "F32", "data_offsets": [0, 12]}},
        {"a": 3},
        {
            "a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]},
            "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]},
        },
        [],
    ],
)
def test_a_header_that_lies_about_what_follows_is_unreadable(header):
    text = json.dumps(header).encode()
    assert reason(from_bytes, len(text).to_bytes(8, "little") + text + bytes(12)) == "unreadable"
