"""Where a plan wants it, a run that merges also judges all models side by side, and registers them if that is best."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from sqlalchemy import select
from tests.unit.hub.runs.run_lab import RunLab, project

from wardround.contracts.project_words import in_words
from wardround.contracts.task import EvaluateModel
from wardround.hub.registry.registration import whole_weights
from wardround.hub.runs import queries
from wardround.hub.runs.merging import parents
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import LocalModelRow
from wardround.learning.arrays import from_bytes
from wardround.learning.ensemble import members_of

ALGORITHM = {"name": "merge", "ensemble": True}


def members(lab: RunLab, model: str) -> int:
    return members_of(from_bytes(lab.objects.get(model)).keys())


def driven(lab: RunLab, ensemble: float, soup: float) -> str:
    """A run whose sites think so much of the ensemble, and of every merge; of each model alone, 0.5."""
    run = lab.ready("east", "north", "south", algorithm=ALGORITHM)
    lab.driver.tick()
    lab.train_alone()

    def worth(_site: str, task: EvaluateModel) -> float:
        if task.label != "federated":
            return 0.5
        return ensemble if members(lab, task.model) > 1 else soup

    for _ in range(10):
        lab.driver.tick()
        if lab.state(run).over:
            return run
        lab.judge(worth)
    raise AssertionError("the run doesn't come to its end")


def test_the_best_of_ensemble_and_soups_is_the_runs_model(lab: RunLab) -> None:
    run = driven(lab, ensemble=0.8, soup=0.6)
    row = lab.row(run)
    assert (row.state, row.best_round, row.best_score) == (RunState.FINISHED, 1, pytest.approx(0.8))
    with lab.database.reading() as session:
        first = queries.rounds(session, run)[0]
        alone = session.scalars(select(LocalModelRow).where(LocalModelRow.run == run)).all()
        assert first.ensemble and set(parents(session, row, 1)) == {one.digest for one in alone}
    assert members(lab, first.aggregate) == 3
    whole = whole_weights(lab.objects, row, first.aggregate)
    assert members_of(whole.keys()) == 3, "as it is registered"


def test_of_two_that_are_as_good_the_one_is_taken_that_costs_less(lab: RunLab) -> None:
    run = driven(lab, ensemble=0.7, soup=0.7)
    with lab.database.reading() as session:
        best = queries.rounds(session, run)[lab.row(run).best_round - 1]  # type: ignore[operator]
    assert not best.ensemble


def test_an_ensemble_isnt_taken_for_the_mean_of_the_same_models(lab: RunLab) -> None:
    """The soup goes on from what was thought of the means."""
    run = driven(lab, ensemble=0.1, soup=0.6)
    with lab.database.reading() as session:
        merges = queries.rounds(session, run)
    assert [merge.ensemble for merge in merges] == [True] + [False] * (len(merges) - 1)
    assert len(merges) == 3, "the ensemble, the mean of all, and one trial of two"


def test_a_data_controller_reads_of_it_and_a_plan_without_it_keeps_its_digest() -> None:
    assert any("or all of them side by side" in line for line in in_words(project(algorithm=ALGORITHM)))
    assert b"ensemble" not in project(algorithm="merge").plan.canonical()
    with pytest.raises(ValidationError, match="is no ensemble"):
        project(algorithm=ALGORITHM, own_code=True)
