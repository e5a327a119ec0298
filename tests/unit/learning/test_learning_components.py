"""Connected parts of a mask, against a plain flood."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wardround.learning.components import components, without_small


def flooded(mask):
    """Parts by walking from voxel to voxel."""
    labels, found = np.zeros(mask.shape, int), 0
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        found += 1
        open_ = [start]
        while open_:
            voxel = open_.pop()
            if min(voxel) < 0 or any(i >= n for i, n in zip(voxel, mask.shape, strict=True)):
                continue
            if mask[voxel] and not labels[voxel]:
                labels[voxel] = found
                for axis in range(mask.ndim):
                    for step in (-1, 1):
                        open_.append(tuple(i + step * (k == axis) for k, i in enumerate(voxel)))
    return labels


masks = hnp.arrays(bool, hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7))


@given(masks)
def test_parts_are_those_of_a_flood(mask):
    assert np.array_equal(components(mask), flooded(mask))


@given(masks, st.floats(0, 1))
def test_what_is_kept_is_whole_parts_and_always_the_largest(mask, share):
    kept, labels = without_small(mask, share), flooded(mask)
    sizes = {label: int((labels == label).sum()) for label in range(1, labels.max() + 1)}
    wanted = {label for label, size in sizes.items() if size >= share * max(sizes.values())}
    assert np.array_equal(kept, np.isin(labels, sorted(wanted)))


def test_a_long_winding_part_is_one():
    mask = np.zeros((61, 61), bool)
    mask[::2] = True
    mask[1::4, -1] = True
    mask[3::4, 0] = True
    assert components(mask).max() == 1
