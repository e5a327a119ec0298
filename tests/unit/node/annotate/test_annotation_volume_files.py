"""Volumes as clients send and take them: the same voxels at the same place, whatever the file; rubbish is refused."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.node.annotate.grid import Grid, GridRefused, laid_on
from wardround.node.annotate.volume_file import NIFTI, NIFTI_GZ, NRRD, read_file, write_file

AFFINE = np.array([[0.0, 0.1, 1.2, -30.0], [0.2, 1.1, 0.0, 12.5], [3.0, 0.0, -0.1, 7.0], [0, 0, 0, 1]])


@pytest.mark.parametrize("ending", [NIFTI, NIFTI_GZ, NRRD])
@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
def test_a_volume_comes_back_as_it_was_written(ending: str, kind: str) -> None:
    array = (np.arange(24).reshape(2, 3, 4) * 7).astype(kind)
    back = read_file(write_file(Grid(array, AFFINE), ending), f"a{ending}")
    assert np.array_equal(back.array, array)
    assert np.allclose(back.affine, AFFINE, atol=1e-5)


def test_nrrd_is_read_compressed_too_and_in_the_other_space() -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    plain = write_file(Grid(array, AFFINE), NRRD)
    assert np.array_equal(read_file(write_file(Grid(array, AFFINE), NRRD, compressed=True), "a.nrrd").array, array)
    ras = plain.replace(b"left-posterior-superior", b"right-anterior-superior")
    assert np.allclose(read_file(ras, "a.nrrd").affine[:3], AFFINE[:3] * [[-1], [-1], [1]])


@settings(max_examples=60, deadline=None)
@given(order=st.permutations([0, 1, 2]), flips=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_a_mask_with_its_axes_in_another_order_lies_where_it_was_drawn(
    order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    image = Grid(np.arange(60).reshape(3, 4, 5), AFFINE)
    array, affine = image.array, AFFINE.copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:, 3] += affine[:, axis] * (array.shape[axis] - 1)
            affine[:, axis] *= -1
            array = np.flip(array, axis)
    turned = Grid(array.transpose(order), affine[:, [*order, 3]])
    assert np.array_equal(laid_on(turned, image), image.array)


@pytest.mark.parametrize("change", ["moved", "stretched", "smaller"])
def test_a_mask_on_another_grid_is_refused(change: str) -> None:
    image = Grid(np.zeros((3, 4, 5)), AFFINE)
    affine, array = AFFINE.copy(), np.zeros((3, 4, 5))
    if change == "moved":
        affine[:3, 3] += affine[:3, 0]
    elif change == "stretched":
        affine[:3, 2] *= 1.5
    else:
        array = array[:2]
    with pytest.raises(GridRefused, match="draw it on"):
        laid_on(Grid(array, affine), image)


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=400), name=st.sampled_from(["a.nii", "a.nii.gz", "a.nrrd", "a.txt"]))
def test_rubbish_is_refused_whatever_it_is(data: bytes, name: str) -> None:
    with pytest.raises(GridRefused):
        read_file(data, name)


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, 500), with_=st.binary(min_size=1, max_size=8), ending=st.sampled_from([NIFTI, NRRD]))
def test_a_damaged_file_is_read_or_refused(at: int, with_: bytes, ending: str) -> None:
    data = bytearray(write_file(Grid(np.zeros((2, 3, 4), np.uint8), AFFINE), ending))
    data[at : at + len(with_)] = with_
    try:
        read_file(bytes(data), f"a{ending}")
    except GridRefused as refused:
        assert str(refused)


def test_a_small_file_that_unpacks_to_a_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardround.node.annotate.volume_file.MOST_VOXELS", 1000)
    with pytest.raises(GridRefused):
        read_file(gzip.compress(bytes(1_000_000)), "a.nii.gz")
