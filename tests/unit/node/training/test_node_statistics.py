"""A merge's statistics leave as a model trained alone does: where the plan merges, as often as approved, on record."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab
from tests.unit.node.training.test_own_arrays import ToySegmenter, toy, work

from wardround.contracts.ledger_entry import Update, Use
from wardround.contracts.outbound import LocalModel
from wardround.contracts.project import Project
from wardround.contracts.task import EstimateStatistics
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.learning.arrays import Arrays, from_bytes, to_bytes
from wardround.learning.ensemble import bundled
from wardround.node.training import learner

__all__ = ["toy"]

MERGING = project(algorithm="merge")
TOLD = b"means and variances"


def task_of(asked: Project, merge: int = 1, model: str = "a" * 64) -> EstimateStatistics:
    digest = asked.content_digest()
    return EstimateStatistics(project=asked.id, project_digest=digest, run="glioma-1", model=model, merge=merge)


def agreed(lab: NodeLab, asked: Project, **limits: Any) -> str:
    """The hospital approves; the digest of a model that it has."""
    lab.fill()
    lab.agree(asked, **limits)
    lab.worker.lesson = cast(Any, TOLD)
    lab.comparison._models.put(b"the merge")
    return lab.hub.objects.put(b"the merge")


def test_statistics_rest_on_a_use_and_an_update_without_a_step(lab: NodeLab) -> None:
    model = agreed(lab, MERGING)
    with pytest.raises(WardroundError):  # this hub never began the run; what left is seen all the same
        lab.comparison.estimate(task_of(MERGING, merge=2, model=model))
    function, _, weights = lab.worker.calls[-1]
    assert function is learner.estimate and weights == b"the merge"
    use = next(entry for entry in lab.ledger() if isinstance(entry, Use))
    update = next(entry for entry in lab.ledger() if isinstance(entry, Update))
    assert (use.run, use.round) == (update.run, update.round) == ("glioma-1-alone", 3)
    assert update.steps == 0
    (sent,) = [message for message in lab.wire.sent if isinstance(message, LocalModel)]
    assert (sent.statistics_of, sent.digest, sent.steps) == (model, update.digest, 0)


def test_they_leave_as_often_as_models_were_approved(lab: NodeLab) -> None:
    model = agreed(lab, MERGING)
    allowed = MERGING.leaving("local-model")
    assert allowed is not None and allowed.times == 4, "its own model, the mean of three, and a soup's trials"
    for number in range(allowed.times + 1):
        lab.worker.lesson = cast(Any, f"statistics {number}".encode())
        with pytest.raises(WardroundError) as refused:
            lab.comparison.estimate(task_of(MERGING, merge=number + 1, model=model))
    assert refused.value.code == "message-too-often"
    assert len([message for message in lab.wire.sent if isinstance(message, LocalModel)]) == allowed.times


def test_where_nothing_is_merged_nothing_is_read(lab: NodeLab) -> None:
    asked = project()
    model = agreed(lab, asked)
    with pytest.raises(NotAllowed) as refused:
        lab.comparison.estimate(task_of(asked, model=model))
    assert refused.value.code == "not-the-approved-plan"
    assert lab.worker.calls == [] and not any(isinstance(entry, Use) for entry in lab.ledger())


def test_an_ensemble_is_judged_as_several_networks_of_the_approved_package(
    toy: ToySegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = ToySegmenter()
    asked: list[int] = []

    def of(_assignment: object, members: int) -> ToySegmenter:
        asked.append(members)
        return several

    monkeypatch.setattr(learner, "_ensemble", of)
    both: Arrays = bundled([toy.initial(0), {name: one + 1 for name, one in toy.initial(0).items()}])
    learner.judge(work(), to_bytes(both))
    assert asked == [2] and not toy.judged
    (judged,) = several.judged
    assert judged.keys() == both.keys()
    np.testing.assert_array_equal(judged["members.1.w"], from_bytes(to_bytes(both))["members.1.w"])
