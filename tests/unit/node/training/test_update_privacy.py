"""What the learning process hands over is cut and noised by the terms that this hospital approved, or left as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.hub.runs.run_lab import project

from wardround.contracts.approval_limits import ApprovalLimits, terms_of
from wardround.learning.arrays import from_bytes, to_bytes
from wardround.learning.layers import Sharing
from wardround.learning.masking.fixed_point import bound_of
from wardround.learning.split import Split
from wardround.learning.wire import arrays_of
from wardround.node.training import learner
from wardround.node.training.assignment import Assignment
from wardround.node.training.cohort import Cohort

START = to_bytes({"w": np.ones(4_000, dtype=np.float32)})
KEY = bytes(range(32))


@dataclass
class ToySegmenter:
    """Each training adds one to every weight: a difference of norm sqrt(4000), about 63."""

    setting: Any = field(default_factory=lambda: SimpleNamespace(local_steps=3))

    def sharing(self, _plan: Any) -> Sharing:
        return Sharing(frozenset({"w"}))

    def evaluate(self, _weights: Any, _cases: Any) -> dict[str, tuple[float]]:
        return {"somebody": (0.5,)}

    def train(self, weights: Any, _cases: Any, **_: Any) -> Any:
        return SimpleNamespace(arrays={"w": weights["w"] + np.float32(1)}, steps=3, loss=0.1)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Split(training=("a",), held_out=("b",))
    monkeypatch.setattr(learner, "_classroom", lambda _: (ToySegmenter(), parts, {"a": None, "b": None}))


def moved(limits: ApprovalLimits, *, key: bytes = KEY, **plan: Any) -> np.ndarray[Any, Any]:
    asked = project(**plan)
    place: Any = None
    work = Assignment("north", Cohort(place, ()), asked.plan, 0, terms_of(asked, limits))
    lesson = learner.learn(work, START, 1, asked.plan.rounds, key)
    assert lesson.digest == sha256(lesson.update).hexdigest()
    return arrays_of(lesson.update, from_bytes(START))["w"].astype(np.float64)


def test_without_privacy_the_update_is_what_was_trained() -> None:
    assert np.array_equal(moved(ApprovalLimits()), np.ones(4_000))


def test_what_the_plan_says_is_done() -> None:
    plan = {"compare_alone": False, "privacy": {"clip_norm": 2.0}}
    assert 1.999 < np.linalg.norm(moved(ApprovalLimits(), **plan)) <= 2.0


def test_what_this_hospital_limits_is_done_though_the_plan_says_nothing() -> None:
    assert 0.499 < np.linalg.norm(moved(ApprovalLimits(clip_norm=0.5))) <= 0.5


def test_noise_is_added_here_and_depends_on_the_rounds_secret() -> None:
    limits = ApprovalLimits(clip_norm=0.5, noise_multiplier=2.0)
    one, again, other = moved(limits), moved(limits), moved(limits, key=bytes(32))
    assert abs(one.std() - 1.0) < 0.05
    assert np.array_equal(one, again), "a round that is done again leaves the same"
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.06


def test_an_update_that_is_to_be_masked_is_cut_first_and_no_value_is_larger_than_is_told_of_it() -> None:
    plan = {"compare_alone": False, "privacy": {"clip_norm": 2.0, "noise_multiplier": 1.0}, "masking": {"threshold": 2}}
    privacy = terms_of(project(**plan)).privacy
    assert privacy is not None
    assert np.abs(moved(ApprovalLimits(), **plan)).max() <= bound_of(privacy)
    assert np.linalg.norm(moved(ApprovalLimits(), **(plan | {"privacy": {"clip_norm": 2.0}}))) <= 2.0
