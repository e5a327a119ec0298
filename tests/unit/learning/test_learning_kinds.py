"""Every kind of task learns what it is shown, by its own loss and metric, through one interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wardround.learning.arrays import digest
from wardround.learning.bundle import BundleRefused, packaged, read_bundle
from wardround.learning.case import Case, Labelled, resampling
from wardround.learning.fact import Fact, Target
from wardround.learning.kinds import learner_of
from wardround.learning.metrics import auc, concordance, over
from wardround.learning.objective import partial_likelihood
from wardround.learning.table import Row, rows_of
from wardround.learning.volume import VolumePreparation

AGE = {"name": "age", "fact": {"of": "age"}, "mean": 50, "scale": 10}
RISK = {"name": "risk", "fact": {"of": "measurement", "code": "LOINC:1-1"}, "mean": 0, "scale": 1}
DEATH = {"kind": "survival", "fact": {"of": "death"}, "since": {"of": "condition", "code": "SNOMED:1"}}
NUMBER = {"kind": "number", "fact": {"of": "measurement", "code": "LOINC:2-2"}, "mean": 100, "scale": 20}
ILL = {"kind": "class", "fact": {"of": "condition", "code": "SNOMED:1"}}
LINEAR = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1}
UNET = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 1,
    "channels": [8, 16],
    "strides": [2],
    "norm": "instance",
}
CLASSIFIER = {
    "_target_": "monai.networks.nets.Classifier",
    "in_shape": [1, 8, 16, 16],
    "classes": 1,
    "channels": [4, 8],
    "strides": [2, 2],
    "norm": "instance",
}
VOLUME = {"kind": "volume", "patch": [8, 16, 16], "spacing": [6.0, 8.0, 8.0], "brightness": {"nonzero": True}}


def package(folder: Path, network: Any, preparation: Any, metric: str, target: Any = None, **setting: Any) -> Path:
    (folder / "configs").mkdir(parents=True)
    told = {"rounds": 1, "local_steps": 10, "batch_size": 32, "learning_rate": 0.05, **setting}
    documents = {
        "metadata": json.loads((packaged() / "configs/metadata.json").read_text()),
        "inference": {"network_def": network, "preparation": preparation} | ({"target": target} if target else {}),
        "train": {"settings": {"default": told}},
        "evaluate": {"metric": {"name": metric}},
    }
    for name, document in documents.items():
        (folder / f"configs/{name}.json").write_text(json.dumps(document))
    return folder


def scores(folder: Path, cases: list[Any], held_out: list[Any], steps: int) -> tuple[float, float]:
    """Before training and after it, on cases that it didn't see; and the same calls give the same weights."""
    teacher = learner_of(folder)
    begun = teacher.initial(1)
    trained = teacher.train(begun, cases, steps=steps, round_number=1, total_rounds=1, seed=2)
    again = learner_of(folder).train(begun, cases, steps=2, round_number=1, total_rounds=1, seed=2)
    assert digest(again.arrays) == digest(
        teacher.train(begun, cases, steps=2, round_number=1, total_rounds=1, seed=2).arrays
    )
    metric = teacher.bundle.metric
    before, after = (over(metric, teacher.evaluate(arrays, held_out)) for arrays in (begun, trained.arrays))
    assert before is not None
    assert after is not None
    return before, after


def people(target: Target, told: Any, count: int = 60) -> list[Row]:
    draws = np.random.default_rng(3)
    values = np.column_stack([draws.uniform(20, 80, count), draws.standard_normal(count)])
    values[::7, 0] = np.nan
    return rows_of([f"p{number}" for number in range(count)], values, [told(row, draws) for row in values], target)


def test_a_number_of_the_records_is_learned_in_its_own_unit(tmp_path: Path) -> None:
    target = Target.from_mapping(NUMBER)
    rows = people(target, lambda row, draws: (100 + 15 * row[1] + draws.normal(0, 1),))
    folder = package(tmp_path / "p", LINEAR, {"kind": "table", "columns": [AGE, RISK]}, "mae", NUMBER)
    before, after = scores(folder, rows[:40], rows[40:], 80)
    assert after < 4 < before
    teacher = learner_of(folder)
    assert abs(float(teacher.predict(teacher.initial(1), rows[0])[0]) - 100) < 60, "told in the measurement's unit"


def test_survival_puts_those_at_risk_first(tmp_path: Path) -> None:
    target = Target.from_mapping(DEATH)

    def told(row: Any, draws: Any) -> tuple[float, float]:
        time, censored = draws.exponential(1000 * np.exp(-1.5 * row[1])), draws.uniform(0, 3000)
        return (min(time, censored), float(time <= censored))

    rows = people(target, told, 120)
    folder = package(tmp_path / "p", LINEAR, {"kind": "table", "columns": [AGE, RISK]}, "c_index", DEATH, batch_size=64)
    _, after = scores(folder, rows[:80], rows[80:], 60)
    assert after > 0.7


def test_a_volume_is_outlined_in_three_dimensions_and_back_on_its_own_grid(tmp_path: Path, ball_head: Any) -> None:
    folder = package(tmp_path / "p", UNET, VOLUME, "dice", batch_size=4, learning_rate=0.02, tumour_share=0.8)
    cases = [ball_head(number, shape=(8, 32, 28), spacing=(6.0, 8.0, 8.0)) for number in range(4)]
    before, after = scores(folder, cases[:3], cases[3:], 40)
    assert after > 0.4 > before
    other = ball_head(9, shape=(16, 64, 56), spacing=(3.0, 4.0, 4.0))
    teacher = learner_of(folder)
    assert teacher.predict(teacher.initial(1), other).shape == other.image.shape


def test_a_whole_volume_is_told_apart_by_what_the_records_say_of_the_patient(tmp_path: Path, ball_head: Any) -> None:
    folder = package(tmp_path / "p", CLASSIFIER, VOLUME, "auc", ILL, batch_size=8, learning_rate=0.01)
    cases = []
    for number in range(24):
        head = ball_head(number, shape=(8, 32, 28), spacing=(6.0, 8.0, 8.0))
        ill = number % 2
        image = head.image if ill else np.where(head.label, head.image.mean(), head.image)
        cases.append(
            Labelled(Case(f"c{number}", image + 300 * ill * head.label, None, head.spacing), (float(ill),), float(ill))
        )
    _, after = scores(folder, cases[:16], cases[16:], 40)
    assert after > 0.9


def test_somebody_whose_target_isnt_known_is_neither_trained_on_nor_judged(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", LINEAR, {"kind": "table", "columns": [AGE, RISK]}, "auc", ILL)
    teacher = learner_of(folder)
    unknown = Row("nobody", np.zeros(2))
    assert teacher.evaluate(teacher.initial(1), [unknown]) == {}


@pytest.mark.parametrize(
    ("network", "preparation", "metric", "target", "reason"),
    [
        (LINEAR, {"kind": "table", "columns": [AGE]}, "auc", ILL, "wrong-network"),
        (LINEAR, {"kind": "table", "columns": [AGE, RISK]}, "dice", ILL, "wrong-config"),
        (LINEAR, {"kind": "table", "columns": [AGE, RISK]}, "dice", None, "wrong-config"),
        (LINEAR, {"kind": "table", "columns": [{**AGE, "scale": 0}, RISK]}, "auc", ILL, "wrong-config"),
        (LINEAR, {"kind": "pages"}, "auc", ILL, "wrong-config"),
        (UNET | {"in_channels": 3}, VOLUME, "dice", None, "wrong-network"),
        (UNET, VOLUME | {"axes": "SPP"}, "dice", None, "wrong-config"),
        (UNET | {"_target_": "torch.nn.Module"}, VOLUME, "dice", None, "unknown-target"),
        (UNET, VOLUME, "mae", None, "wrong-config"),
    ],
)
def test_a_package_whose_parts_dont_fit_is_refused(
    tmp_path: Path, network: Any, preparation: Any, metric: str, target: Any, reason: str
) -> None:
    with pytest.raises(BundleRefused) as refusal:
        read_bundle(package(tmp_path / "p", network, preparation, metric, target))
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"of": "income"},
        {"of": "measurement"},
        {"of": "age", "code": "A:1"},
        {"of": "sex", "unit": "kg"},
        {"of": 3},
        "age",
    ],
)
def test_what_is_no_fact_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="fact"):
        Fact.from_mapping(wrong)


TIMES = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.booleans()), min_size=2, max_size=12)


@given(TIMES)
def test_the_c_index_is_that_of_every_pair_looked_at_by_itself(people: list[tuple[int, int, bool]]) -> None:
    pairs, right = 0, 0.0
    for risk, time, event in people:
        for other, later, came in people:
            if event and (time < later or (time == later and not came)):
                pairs, right = pairs + 1, right + (risk > other) + (risk == other) / 2
    risks, times, events = (np.array(column, float) for column in zip(*people, strict=True))
    found = concordance(risks, times, events > 0)
    assert found == (None if not pairs else pytest.approx(right / pairs))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=14))
def test_the_area_under_the_curve_is_that_of_every_pair(people: list[tuple[int, bool]]) -> None:
    pairs = [(one, other) for one, ill in people if ill for other, well in people if not well]
    found = auc(np.array([score for score, _ in people], float), np.array([ill for _, ill in people]))
    assert found == (pytest.approx(np.mean([(a > b) + (a == b) / 2 for a, b in pairs])) if pairs else None)


@given(TIMES)
def test_the_partial_likelihood_is_coxs(people: list[tuple[int, int, bool]]) -> None:
    risks, times, events = (torch.tensor([float(one[place]) for one in people]) for place in range(3))
    terms = [
        np.log(sum(np.exp(other) for other, later, _ in people if later >= time)) - risk
        for risk, time, event in people
        if event
    ]
    assert float(partial_likelihood(risks, times, events)) == pytest.approx(np.mean(terms) if terms else 0.0, abs=1e-5)


@pytest.mark.parametrize("axes", ["SPL", "RAS", "LPS", "IAR"])
def test_what_a_network_finds_comes_back_where_it_was(axes: str) -> None:
    preparation = VolumePreparation(patch=(8, 8, 8), axes=axes)
    volume = np.random.default_rng(1).standard_normal((4, 5, 6)).astype(np.float32)
    there = np.maximum(preparation.to_network(volume, (6.0, 1.0, 1.0)), 0)
    mask = preparation.mask_from_network(there, 0.5, volume.shape, (6.0, 1.0, 1.0))
    np.testing.assert_array_equal(mask, volume >= 0.5)


@given(
    st.sampled_from(["SPL", "RAS", "IAR", "LPS"]),
    st.tuples(*[st.sampled_from([0.7, 1.0, 2.5])] * 3),
    st.lists(st.tuples(*[st.integers(0, 40)] * 3, st.floats(0.3, 1.0)), max_size=4),
)
def test_an_outline_on_the_images_grid_is_what_interpolating_all_of_it_gives(
    axes: str, spacing: Any, spots: Any
) -> None:
    step, shape = (1.6, 1.1, 1.0), (9, 14, 11)
    preparation = VolumePreparation(patch=(8, 8, 8), axes=axes, spacing=step)
    found = np.zeros_like(preparation.to_network(np.zeros(shape, np.float32), spacing))
    for z, y, x, value in spots:
        found[z % found.shape[0] :, y % found.shape[1] :, x % found.shape[2] :][:3, :2, :2] = value
    whole, order = found, ["SPLIAR".index(letter) % 3 for letter in axes]
    for place, (axis, letter) in enumerate(zip(order, axes, strict=True)):
        matrix = resampling(shape[axis], found.shape[place], 0.0, spacing[axis] / step[place])
        whole = np.moveaxis(np.tensordot(matrix, whole, (1, place)), 0, place)
        whole = np.flip(whole, place) if letter in "IAR" else whole
    whole = np.transpose(whole, np.argsort(order))
    mask = preparation.mask_from_network(found, 0.5, shape, spacing)
    sure = np.abs(whole - 0.5) > 1e-5
    np.testing.assert_array_equal(mask[sure], (whole >= 0.5)[sure])
