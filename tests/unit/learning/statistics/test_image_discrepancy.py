"""Images that come otherwise than before are told from chance, and chance alarms as seldom as was said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kurtosis, skew

from wardround.learning.statistics.discrepancy import NAMES, differs, image_statistics


def volume(seed: int, *, noise: float = 5.0, gamma: float = 1.0) -> np.ndarray:
    draws = np.random.default_rng(seed)
    z, y, x = np.mgrid[-1:1:20j, -1:1:48j, -1:1:48j]
    body = 100.0 * (z**2 + y**2 + x**2 < 0.8) + 40.0 * ((x - 0.2) ** 2 + y**2 + z**2 < 0.1)
    noisy = np.clip(body + draws.normal(0, noise, body.shape), 0, None)
    return (150 * (noisy / 150) ** gamma).astype(np.float32)


def test_the_numbers_are_those_of_independent_libraries_and_know_no_unit() -> None:
    image = volume(1)
    told = dict(zip(NAMES, image_statistics(image) or (), strict=True))
    chosen = image[np.unique(np.linspace(0, 19, 16).astype(int))].astype(np.float64)
    values = chosen[chosen > chosen.mean()]
    assert told["skewness"] == pytest.approx(skew(values), rel=1e-4)
    assert told["tails"] == pytest.approx(kurtosis(values, fisher=False), rel=1e-4)
    others = chosen[chosen <= chosen.mean()]
    assert told["contrast"] == pytest.approx(values.std() / (values.mean() - others.mean()), rel=1e-4)
    # As MR of another scaling, or CT with air at -1000.
    assert image_statistics(image * 7 - 1000) == pytest.approx(image_statistics(image), rel=1e-2)


@pytest.mark.parametrize("image", [np.zeros((3, 4, 4)), np.full((1, 2, 2), -5.0), np.full((2, 2, 2), np.nan)])
def test_of_an_image_that_shows_nothing_nothing_is_told(image: np.ndarray) -> None:
    assert image_statistics(image.astype(np.float32)) is None


def test_another_reconstruction_shows_and_another_patient_doesnt() -> None:
    before = [image_statistics(volume(seed)) or () for seed in range(40)]
    patients = [image_statistics(volume(seed)) or () for seed in range(100, 125)]
    assert differs(before, patients, 0.01) > 0.01
    for changed in ({"noise": 8.0}, {"gamma": 1.2}):
        now = [image_statistics(volume(seed, **changed)) or () for seed in range(100, 125)]
        assert differs(before, now, 0.001) <= 0.001, changed


def test_chance_alarms_in_no_larger_share_than_was_said() -> None:
    draws = np.random.default_rng(7)
    alarms, times = 0.05, 300
    found = sum(
        # Skewed and of very unequal spread, as such numbers are.
        differs(
            draws.lognormal(0, 1, (30, 4)) * [1, 10, 0.1, 5], draws.lognormal(0, 1, (15, 4)) * [1, 10, 0.1, 5], alarms
        )
        <= alarms
        for _ in range(times)
    )
    # Two and a half standard errors of a share of 0.05 over 300.
    assert found / times <= alarms + 2.5 * (alarms * (1 - alarms) / times) ** 0.5
    assert found > 0


def test_the_same_numbers_have_the_same_answer() -> None:
    before, now = np.random.default_rng(1).normal(size=(2, 20, 3))
    assert differs(before, now, 0.01) == differs(before, now, 0.01)
