"""Averaged weights get normalisation statistics of their own: the sites take them, and the hub puts them together."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from tests.unit.hub.runs.run_lab import RunLab

from wardround.contracts.ledger_entry import Aggregate, alone_run
from wardround.contracts.outbound import LocalModel
from wardround.contracts.task import EstimateStatistics, TrainAlone
from wardround.foundation.errors import NotAllowed
from wardround.hub.runs import intake, queries
from wardround.hub.runs.states import RunState
from wardround.learning.arrays import Arrays, from_bytes, to_bytes
from wardround.ledger import store


def model(value: float) -> Arrays:
    """Weights, and what a layer knows of its inputs."""
    return {"w": np.full(2, value, np.float32)} | of(mean=9.0, variance=9.0)


def of(mean: float, variance: float) -> Arrays:
    return {"norm.running_mean": np.full(3, mean, np.float32), "norm.running_var": np.full(3, variance, np.float32)}


def merging(lab: RunLab, *names: str) -> str:
    run = lab.ready(*names, rounds=5, algorithm="merge")
    lab.driver.tick()
    for site, number, task in lab.tasks("train-alone"):
        assert isinstance(task, TrainAlone)
        lab.send_local(site, task, to_bytes(model({"north": 1.0, "south": 3.0}.get(site, 2.0))))
        lab.reported(site, number)
    lab.driver.tick()
    return run


def tell(lab: RunLab, site: str, task: EstimateStatistics, arrays: Arrays) -> None:
    update = to_bytes(arrays)
    index = lab.hospitals[site].update_entry(alone_run(task.run), 1 + task.merge, update)
    message = LocalModel(
        project=task.project,
        run=task.run,
        digest=sha256(update).hexdigest(),
        steps=0,
        statistics_of=task.model,
        entry=index,
    )
    with lab.database.writing() as session:
        intake.take_local_model(session, site, message, update, store.entry(session, index))
    lab.objects.put(update)


def asked(lab: RunLab) -> list[tuple[str, int, EstimateStatistics]]:
    return [(site, number, task) for site, number, task in lab.tasks("estimate-statistics")]  # type: ignore[misc]


def test_a_merge_is_judged_with_statistics_that_its_sites_took(lab: RunLab) -> None:
    run = merging(lab, "north", "south")
    tasks = asked(lab)
    assert [site for site, _, _ in tasks] == ["north", "south"]
    averaged = {task.model for _, _, task in tasks}
    assert len(averaged) == 1 and not lab.tasks("evaluate-model"), "nothing is judged before"
    told = {"north": of(mean=0.0, variance=1.0), "south": of(mean=4.0, variance=1.0)}
    for site, number, task in tasks:
        lab.driver.tick()
        assert not lab.tasks("evaluate-model") and len(asked(lab)) == (2 if site == "north" else 1)
        tell(lab, site, task, told[site])
        lab.reported(site, number)
    lab.driver.tick()
    assert lab.state(run) is RunState.EVALUATING
    with lab.database.reading() as session:
        (merge,) = queries.rounds(session, run)
        aggregates = [
            entry
            for index in range(lab.log.size(session))
            if isinstance(entry := store.entry(session, index), Aggregate)
        ]
    made = from_bytes(lab.objects.get(merge.aggregate))
    np.testing.assert_allclose(made["w"], 2.0)
    np.testing.assert_allclose(made["norm.running_mean"], 2.0)
    np.testing.assert_allclose(made["norm.running_var"], 5.0)  # of all patients: 1 within, 4 between
    assert [entry.digest for entry in aggregates] == [*averaged, merge.aggregate], "both are on the record"
    lab.judge(lambda _site, task: 0.5)
    assert lab.drive(run, RunState.FINISHED) is RunState.FINISHED


def test_statistics_that_dont_come_or_dont_fit_hold_nothing_up(lab: RunLab) -> None:
    run = merging(lab, "north", "south", "west")
    wrong = of(mean=0.0, variance=-1.0)
    for site, number, task in asked(lab):
        if site == "west":
            lab.reported(site, number, "refused", "message-too-often")
            continue
        tell(lab, site, task, wrong if site == "north" else {"norm.running_mean": np.zeros(3, np.float32)})
        lab.reported(site, number)
    lab.driver.tick()
    assert lab.state(run) is RunState.EVALUATING
    with lab.database.reading() as session:
        (merge,) = queries.rounds(session, run)
    made = from_bytes(lab.objects.get(merge.aggregate))
    np.testing.assert_allclose(made["norm.running_mean"], 9.0)
    np.testing.assert_allclose(made["norm.running_var"], 9.0)


def test_a_hub_that_is_restarted_asks_once(lab: RunLab) -> None:
    merging(lab, "north", "south")
    lab.restart()
    lab.driver.tick()
    assert len(asked(lab)) == 2


def test_a_site_that_wasnt_asked_tells_nothing(lab: RunLab) -> None:
    merging(lab, "north", "south")
    task = asked(lab)[0][2]
    with pytest.raises(NotAllowed, match="didn't ask"):
        tell(lab, "north", task.model_copy(update={"merge": 2}), of(mean=0.0, variance=1.0))


def test_statistics_take_no_step_and_a_model_takes_one() -> None:
    said = {"project": "p-1", "run": "r-1", "digest": "a" * 64, "entry": 0}
    LocalModel(**said, steps=0, statistics_of="b" * 64)
    for wrong in ({"steps": 0}, {"steps": 1, "statistics_of": "b" * 64}):
        with pytest.raises(ValueError, match="for a step at least"):
            LocalModel.model_validate(said | wrong)
