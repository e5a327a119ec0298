"""A run is judged by its plan's metric: a smaller error is better, and a score that isn't told counts for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.hub.runs.run_lab import RunLab, project

from wardround.contracts.metric import METRICS, is_better, reaches
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.task import EvaluateModel
from wardround.foundation.errors import Conflict
from wardround.hub.registry import queries as registry
from wardround.hub.runs import queries
from wardround.hub.runs.states import RunState

ERRORS = {1: 9.0, 2: 2.0, 3: 5.0, 4: 4.0}


def by_error(lab: RunLab, **plan: Any) -> str:
    lab.metric = "mae"
    run = lab.ready("north", "south", metric="mae", compare_alone=False, **plan)
    for site in lab.hospitals.values():
        site.dice = lambda round_number: ERRORS[round_number]
    return run


def test_the_round_with_the_smallest_error_is_the_best(lab: RunLab) -> None:
    run = by_error(lab, rounds=4)
    lab.drive(run, RunState.EVALUATING)
    row = lab.row(run)
    assert (row.best_round, row.best_score) == (1, 2.0), "a round's aggregate is judged with the next update"
    asked = {task.model for _, _, task in lab.tasks("evaluate-model") if isinstance(task, EvaluateModel)}
    assert len(asked) == 2
    current = row.current
    lab.judge(lambda _site, task: 3.0 if task.model == current else 7.0)
    assert lab.drive(run, RunState.FINISHED) is RunState.FINISHED
    with lab.database.reading() as session:
        model = registry.model_of(session, str(lab.row(run).model))
        metrics = json.loads(model.metrics)
    assert model.round == 4
    assert metrics == {"north": {"mae": 3.0}, "south": {"mae": 3.0}}


def test_an_error_as_small_as_the_target_ends_the_run(lab: RunLab) -> None:
    run = by_error(lab, rounds=4, target=2.5)
    lab.drive(run, RunState.EVALUATING)
    assert lab.row(run).round == 2


def test_a_judgement_by_another_metric_is_refused(lab: RunLab) -> None:
    run = by_error(lab, rounds=2)
    lab.drive(run, RunState.EVALUATING)
    [(site, _, task), *_] = lab.tasks("evaluate-model")
    lab.metric = "dice"
    assert isinstance(task, EvaluateModel)
    with pytest.raises(Conflict, match="judged by mae"):
        lab.send_judgement(site, task, 0.5)
    with lab.database.reading() as session:
        assert not queries.evaluations(session, run)


def test_a_score_that_a_site_cant_tell_is_left_out_of_the_mean(lab: RunLab) -> None:
    lab.metric = "auc"
    run = lab.ready("north", "south", metric="auc", compare_alone=False, rounds=1)
    lab.drive(run, RunState.EVALUATING)
    for site, number, task in lab.tasks("evaluate-model"):
        assert isinstance(task, EvaluateModel)
        lab.send_judgement(site, task, 0.8 if site == "north" else None)  # type: ignore[arg-type] # untold
        lab.reported(site, number)
    lab.drive(run, RunState.FINISHED)
    assert lab.row(run).best_score == 0.8
    with lab.database.reading() as session:
        assert json.loads(registry.model_of(session, str(lab.row(run).model)).metrics) == {"north": {"auc": 0.8}}


@pytest.mark.parametrize("wrong", [{"metric": "f1"}, {"target": 1.5}, {"metric": "mae", "target": -1}])
def test_a_plan_asks_for_nothing_that_its_metric_cant_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        project(**wrong)


def test_a_plan_of_an_earlier_version_is_read() -> None:
    plan: dict[str, Any] = {"package": "toy", "package_digest": "0" * 64, "rounds": 1, "quorum": 1}
    read = RunPlan.model_validate({**plan, "target_dice": 0.75})
    assert (read.metric, read.target, read.reads) == ("dice", 0.75, "images")


def test_each_metric_knows_what_is_better() -> None:
    for name, metric in METRICS.items():
        better, worse = (0.9, 0.1) if metric.larger_is_better else (0.1, 0.9)
        assert is_better(name, better, worse)
        assert reaches(name, better, worse)
        assert reaches(name, better, better)
        assert not reaches(name, worse, better)
        assert not reaches(name, None, better)
