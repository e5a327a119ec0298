"""How hard a site is held to the weights that it began with is what the approved plan says, and nobody else."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wardround.contracts.run_plan import RunPlan
from wardround.contracts.steps import in_order
from wardround.learning.arrays import to_bytes
from wardround.learning.bundle import packaged
from wardround.learning.case import CaseRefused
from wardround.learning.layers import Sharing
from wardround.learning.split import Split
from wardround.node.training import learner

PLAN: dict[str, Any] = {"package": "toy", "package_digest": "0" * 64, "rounds": 2, "quorum": 1}
WEIGHTS = {"w": np.zeros(2, np.float32)}


class Spy:
    """A segmenter that notes how it was asked to train."""

    def __init__(self) -> None:
        self.setting = SimpleNamespace(local_steps=3)
        self.asked: list[dict[str, Any]] = []

    def initial(self, seed: int) -> dict[str, np.ndarray[Any, Any]]:
        return WEIGHTS

    def sharing(self, plan: RunPlan) -> Sharing:
        return Sharing(frozenset(WEIGHTS))

    def evaluate(self, arrays: object, cases: object) -> dict[str, tuple[float]]:
        return {"a": (0.5,)}

    def train(self, arrays: object, cases: object, **asked: Any) -> SimpleNamespace:
        self.asked.append(asked)
        return SimpleNamespace(arrays=WEIGHTS, loss=0.1, steps=3)


@pytest.mark.parametrize(("algorithm", "mu"), [("fedavg", 0.0), ({"name": "fedprox", "mu": 0.25}, 0.25)])
def test_the_approved_plan_decides(monkeypatch: pytest.MonkeyPatch, algorithm: object, mu: float) -> None:
    spy = Spy()
    parts = Split(training=("a",), held_out=("b",))
    monkeypatch.setattr(learner, "_classroom", lambda assignment: (spy, parts, {"a": None, "b": None}))
    plan = RunPlan.model_validate({**PLAN, "algorithm": algorithm})
    assignment: Any = SimpleNamespace(
        plan=plan, site="north", terms=SimpleNamespace(steps=in_order(()), patient_privacy=None)
    )
    learner.learn(assignment, to_bytes(WEIGHTS), 1, 2, bytes(32))
    assert [asked["steering"].proximal for asked in spy.asked] == [mu]
    learner.learn_alone(assignment, 2)
    assert [asked["steering"].proximal for asked in spy.asked[1:]] == [0.0, 0.0], "alone there is nothing to hold to"


@pytest.mark.parametrize("cases", [0, 1, CaseRefused("empty-image", "there is no head in it")])
def test_whatever_is_wrong_with_a_cohort_leaves_as_one_word(monkeypatch: pytest.MonkeyPatch, cases: Any) -> None:
    """A word for too few people would be a small number that left the hospital by another road."""

    def read(_bundle: object) -> tuple[list[Any], int]:
        if isinstance(cases, CaseRefused):
            raise cases
        return [SimpleNamespace(name=f"case {number}") for number in range(cases)], 0

    monkeypatch.setattr(learner, "_classroom", learner._classroom.__wrapped__)
    monkeypatch.setitem(sys.modules, "wardround.learning.kinds", SimpleNamespace(learner_of=None))
    with pytest.raises(learner.LessonRefused) as refused:
        learner.prepare(SimpleNamespace(cohort=SimpleNamespace(read=read), folder=packaged()))  # type: ignore[arg-type] # no more is read
    assert refused.value.code == "not-learnable"
