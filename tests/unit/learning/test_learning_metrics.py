"""Dice and its conventions."""

import numpy as np
import pytest

from wardround.learning.metrics import dice, mean_over_patients


def mask(*voxels):
    array = np.zeros((2, 2, 2), bool)
    array.flat[list(voxels)] = True
    return array


def test_dice_of_known_overlaps():
    assert dice(mask(0, 1, 2), mask(0, 1, 2)) == 1.0
    assert dice(mask(0, 1, 2), mask(2)) == 0.5
    assert dice(mask(0), mask(7)) == 0.0


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    assert dice(mask(), mask()) == 1.0
    assert dice(mask(), mask(3)) == 0.0
    assert dice(mask(3), mask()) == 0.0


def test_masks_of_different_shape_have_no_dice():
    with pytest.raises(ValueError, match="shape"):
        dice(mask(), np.zeros((2, 2, 1), bool))


def test_every_patient_counts_alike():
    assert mean_over_patients({"a": 1.0, "b": 0.5, "c": 0.0}) == 0.5
    with pytest.raises(ValueError, match="at least one"):
        mean_over_patients({})
