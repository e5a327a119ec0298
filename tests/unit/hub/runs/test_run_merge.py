"""Hospitals train alone and the hub merges their models: by a greedy soup that the hospitals judge, on the record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.hub.runs.run_lab import RunLab, project, weights

from wardround.contracts.ledger_entry import Aggregate
from wardround.contracts.task import EvaluateModel, TrainAlone
from wardround.hub.runs import queries
from wardround.hub.runs.merging import parents
from wardround.hub.runs.states import RunState
from wardround.learning.arrays import ArraysRefused, from_bytes
from wardround.learning.merging import greedy_soup, merged
from wardround.ledger import store

SITES = ("east", "north", "south")


def quality(lab: RunLab, model: str, best: float) -> float:
    return 1 - abs(float(from_bytes(lab.objects.get(model))["w"][0]) - best) / 100


def begun(lab: RunLab, *names: str, quorum: int = 2) -> str:
    run = lab.ready(*names, rounds=5, quorum=quorum, algorithm="merge")
    lab.driver.tick()
    assert lab.state(run) is RunState.COMPARING, "no engine's leg is needed"
    return run


def judged(lab: RunLab, run: str, best: float) -> int:
    """Judge until the run is over; how often the sites were asked."""
    for times in range(10):
        lab.driver.tick()
        if lab.state(run).over:
            return times
        lab.judge(lambda _site, task: quality(lab, task.model, best))
    raise AssertionError("the run doesn't come to its end")


def test_a_soup_is_found_judged_and_registered_with_its_parents(lab: RunLab) -> None:
    """Their models stand at 201, 210 and 215. Best is 213: the two that lie around it, without the third."""
    run = begun(lab, *SITES)
    tasks = [task for _, _, task in lab.tasks("train-alone")]
    assert len(tasks) == 3 and all(isinstance(task, TrainAlone) and task.rounds == 5 for task in tasks)
    lab.train_alone()
    assert judged(lab, run, best=213.0) == 2, "all models and the mean of all; then one more trial"
    row = lab.row(run)
    assert (row.state, row.best_round) == (RunState.FINISHED, 2)
    with lab.database.reading() as session:
        merges = queries.rounds(session, run)
        took_part = [[part.site for part in queries.round_sites(session, run, merge.number)] for merge in merges]
        assert took_part == [["east", "north", "south"], ["north", "south"]]
        assert [float(from_bytes(lab.objects.get(merge.aggregate))["w"][0]) for merge in merges] == pytest.approx(
            [(201 + 210 + 215) / 3, 212.5]
        )
        entries = [store.entry(session, index) for index in range(lab.log.size(session))]
        assert len(parents(session, row, 2)) == 2
    said = [entry for entry in entries if isinstance(entry, Aggregate)]
    assert [len(entry.updates) for entry in said] == [3, 2], "each merge names on the ledger what it was made of"
    assert all(entry.run == f"{run}-alone" for entry in said)


def test_a_hub_that_is_restarted_asks_for_nothing_twice(lab: RunLab) -> None:
    run = begun(lab, *SITES)
    lab.train_alone()
    lab.driver.tick()
    before = len(lab.tasks("evaluate-model"))
    lab.restart()
    lab.driver.tick()
    assert len(lab.tasks("evaluate-model")) == before == 4 * 3
    judged(lab, run, best=213.0)
    assert lab.row(run).best_round == 2


def test_one_whose_model_did_not_come_is_left_out_and_judges_all_the_same(lab: RunLab) -> None:
    run = begun(lab, *SITES)
    for site, number, _ in lab.tasks("train-alone"):
        if site == "east":
            lab.reported(site, number, "failed", "worker-died")
    lab.train_alone()
    assert judged(lab, run, best=300.0) == 1, "the mean of both is the only merge of two"
    assert lab.row(run).state == RunState.FINISHED
    with lab.database.reading() as session:
        assert {row.site for row in queries.evaluations(session, run)} == set(SITES)


def test_fewer_models_than_the_quorum_are_no_merge(lab: RunLab) -> None:
    run = begun(lab, "north", "south")
    for site, number, _ in lab.tasks("train-alone"):
        lab.reported(site, number, "failed", "worker-died")
    lab.driver.tick()
    assert lab.state(run) is RunState.FAILED and "quorum of 2" in lab.row(run).reason


@pytest.mark.parametrize(
    "plan", [{"compare_alone": False}, {"privacy": {"clip_norm": 1.0}}, {"robust": {"name": "median"}, "quorum": 3}]
)
def test_a_merge_is_of_whole_models_that_leave(plan: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        project(algorithm="merge", **plan)
    asked = project(algorithm="merge")
    assert asked.leaving("run-update") is None and asked.leaving("local-model") is not None


names = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True)


@given(names, st.randoms(use_true_random=False))
def test_the_soup_is_that_of_the_paper(found: list[str], random: Any) -> None:
    """Recipe 1, written down plainly, with every score known at once; and the same when they come one by one."""
    worth: dict[frozenset[str], float] = {}

    def score(some: tuple[str, ...]) -> float:
        return worth.setdefault(frozenset(some), random.random())

    ranked = sorted(found, key=lambda name: -score((name,)))
    ingredients = [ranked[0]]
    for name in ranked[1:]:
        if score((*ingredients, name)) >= score(tuple(ingredients)):
            ingredients.append(name)
    told = {frozenset({name}): worth[frozenset({name})] for name in found}
    for _ in range(len(found)):
        soup, trial = greedy_soup(ranked, lambda some: told.get(frozenset(some)))
        if trial is None:
            break
        told[frozenset(trial)] = score(trial)
    assert (list(soup), trial) == (ingredients, None)


def test_a_merge_is_the_weighted_mean() -> None:
    models = [(from_bytes(weights(value)), weight) for value, weight in ((1.0, 10.0), (4.0, 20.0))]
    np.testing.assert_allclose(merged(models)["w"], 3.0)
    with pytest.raises(ArraysRefused):
        merged([])
    with pytest.raises(ArraysRefused):
        merged([models[0], ({"other": models[0][0]["w"]}, 1.0)])


def test_a_task_names_the_merge_that_it_judges(lab: RunLab) -> None:
    begun(lab, "north", "south")
    lab.train_alone()
    lab.driver.tick()
    tasks = [task for _, _, task in lab.tasks("evaluate-model") if isinstance(task, EvaluateModel)]
    assert {(task.label, task.round) for task in tasks} == {("federated", 1), ("local:north", 0), ("local:south", 0)}
