"""After training: every model judged at every site that can, and the best of the run's own aggregates registered."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256

import pytest
from tests.unit.hub.runs.run_lab import NOON, RunLab, project, weights

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Evidence, Model, Update, alone_run
from wardround.contracts.outbound import EvaluationResult, LocalModel
from wardround.contracts.task import EvaluateModel, TrainAlone
from wardround.foundation.errors import NotAllowed
from wardround.hub.registry import queries as registry
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import queries
from wardround.hub.runs.driver import COMPARISON_PATIENCE
from wardround.hub.runs.intake import take_evaluation, take_local_model
from wardround.hub.runs.states import RunState
from wardround.ledger import store

SITES = ("east", "north", "south")


@pytest.fixture
def run(lab: RunLab) -> str:
    """Three sites, three rounds; what the sites tell makes round 1 the best so far, and round 3 is the last."""
    run = lab.ready(*SITES, rounds=3)
    for site in lab.hospitals.values():
        site.dice = lambda round_number: {1: 0.1, 2: 0.8, 3: 0.5}[round_number]
    assert lab.drive(run, RunState.COMPARING) is RunState.COMPARING
    return run


def model(lab: RunLab, run: str) -> ModelRow:
    with lab.database.reading() as session:
        digest = lab.row(run).model
        assert digest is not None
        return registry.model_of(session, digest)


def test_the_comparison_waits_for_all_then_every_model_goes_to_every_site(lab: RunLab, run: str) -> None:
    assert [site for site, _, _ in lab.tasks("train-alone")] == list(SITES)
    lab.train_alone("south")
    lab.driver.tick()
    assert lab.state(run) is RunState.COMPARING
    lab.train_alone()
    lab.driver.tick()
    assert lab.state(run) is RunState.EVALUATING
    asked = {(site, task.label) for site, _, task in lab.tasks("evaluate-model") if isinstance(task, EvaluateModel)}
    labels = {"federated", *(f"local:{site}" for site in SITES)}
    assert asked == {(site, label) for site in SITES for label in labels}
    assert len(lab.tasks("evaluate-model")) == 3 * (2 + 3), "the last aggregate and the best one"
    lab.judge(lambda _site, _task: 0.5, "north")
    lab.driver.tick()
    assert lab.state(run) is RunState.EVALUATING


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_it_goes_on_without_a_site_that_reports_that_it_cant(lab: RunLab, run: str, outcome: str) -> None:
    lab.train_alone("south")
    for site, number, _ in lab.tasks("train-alone"):
        lab.reported(site, number, outcome, "worker-died")
    lab.driver.tick()
    labels = {task.label for _, _, task in lab.tasks("evaluate-model") if isinstance(task, EvaluateModel)}
    assert labels == {"federated", "local:east", "local:north"}
    lab.judge(lambda _site, _task: 0.5, "east")
    for site, number, _ in lab.tasks("evaluate-model"):
        lab.reported(site, number, outcome, "cohort-too-small")
    lab.driver.tick()
    assert lab.state(run) is RunState.FINISHED
    assert set(json.loads(model(lab, run).metrics)) == {"north", "south"}


def test_it_doesnt_wait_for_a_site_that_was_shut_out(lab: RunLab, run: str) -> None:
    lab.train_alone("south")
    lab.revoke("south")
    lab.driver.tick()
    assert lab.state(run) is RunState.EVALUATING
    assert "south" not in {site for site, _, _ in lab.tasks("evaluate-model")}


def test_it_doesnt_wait_for_ever(lab: RunLab, run: str) -> None:
    for state in (RunState.COMPARING, RunState.EVALUATING):
        lab.driver.tick()
        assert lab.state(run) is state
        lab.now += COMPARISON_PATIENCE + timedelta(seconds=1)
        lab.driver.tick()
    row = lab.row(run)
    assert row.state == RunState.FINISHED
    assert row.best_round == 3, "where nobody judged, the last round's aggregate is registered"


def judged_run(lab: RunLab, run: str, early: float, last: float) -> ModelRow:
    """Judge the best-so-far aggregate (round 1) as `early` and the last as `last`."""
    lab.train_alone()
    lab.driver.tick()
    current = lab.row(run).current

    def dice(site: str, task: EvaluateModel) -> float:
        if task.label != "federated":
            return 0.4 if task.label == f"local:{site}" else 0.1
        return last if task.model == current else early

    lab.judge(dice)
    assert lab.drive(run, RunState.FINISHED) is RunState.FINISHED
    return model(lab, run)


@pytest.mark.parametrize(("early", "last", "registered"), [(0.7, 0.6, 1), (0.6, 0.7, 3), (0.7, 0.7, 3)])
def test_the_aggregate_that_the_sites_judge_best_is_registered(
    lab: RunLab, run: str, early: float, last: float, registered: int
) -> None:
    found = judged_run(lab, run, early, last)
    row = lab.row(run)
    assert (found.round, row.best_round) == (registered, registered)
    assert row.best_score == pytest.approx(max(early, last))
    with lab.database.reading() as session:
        rounds = {one.number: one.aggregate for one in queries.rounds(session, run)}
        entry = store.entry(session, found.entry)
    assert found.weights == rounds[registered]
    metrics = json.loads(found.metrics)
    assert metrics == {
        site: {
            "dice": pytest.approx(max(early, last)),
            "local_dice": pytest.approx(0.4),
            "local_abroad_dice": pytest.approx((0.4 + 0.1 + 0.1) / 3),
        }
        for site in SITES
    }
    assert isinstance(entry, Model) and entry.origin == "hub"
    assert (entry.digest, entry.run, entry.best_round, entry.metrics) == (found.digest, run, registered, metrics)


def test_a_site_with_more_held_out_patients_weighs_more(lab: RunLab, run: str) -> None:
    assert queries.mean_score([]) is None
    lab.train_alone()
    lab.driver.tick()
    for site, number, task in lab.tasks("evaluate-model"):
        assert isinstance(task, EvaluateModel)
        # Told as 20 people at one site, and as fewer than ten, which weigh five, at the others.
        lab.send_judgement(site, task, 0.9 if site == "north" else 0.3, patients=20 if site == "north" else None)
        lab.reported(site, number)
    lab.drive(run, RunState.FINISHED)
    assert lab.row(run).best_score == pytest.approx((20 * 0.9 + 5 * 0.3 + 5 * 0.3) / 30)


def test_a_model_that_nobody_asked_to_judge_cant_be_put_in_the_runs_place(lab: RunLab, run: str) -> None:
    """A lying site praises weights of its own; at most the aggregates of the run can be registered."""
    lab.train_alone()
    lab.driver.tick()
    [(_, _, task), *_] = [found for found in lab.tasks("evaluate-model") if found[0] == "north"]
    assert isinstance(task, EvaluateModel)
    planted = lab.objects.put(weights(666))
    lab.send_judgement("north", task.model_copy(update={"label": "federated", "model": planted}), 1.0)
    for site, number, _ in lab.tasks("evaluate-model"):
        lab.reported(site, number, "failed", "worker-died")
    assert lab.drive(run, RunState.FINISHED) is RunState.FINISHED
    assert model(lab, run).weights == lab.row(run).current


def test_only_sites_that_the_run_asked_may_add_a_model_or_a_judgement(lab: RunLab, run: str) -> None:
    lab.join("west")
    other = project("other")
    lab.submit(other)
    lab.approve(other, "west")
    [(_, _, task), *_] = lab.tasks("train-alone")
    assert isinstance(task, TrainAlone)
    judging = EvaluateModel(
        project=task.project, project_digest=task.project_digest, run=run, model="a" * 64, label="federated"
    )
    with pytest.raises(NotAllowed) as refused:
        lab.send_judgement("west", judging, 1.0)
    assert refused.value.code == "not-asked"
    with pytest.raises(NotAllowed) as refused:
        lab.send_judgement("north", judging, 1.0)
    assert refused.value.code == "not-asked", "training isn't over; nobody was asked to judge"
    with pytest.raises(NotAllowed) as refused:
        lab.send_local("north", task.model_copy(update={"project": "another"}), weights(1))
    assert refused.value.code == "not-asked"


def test_a_model_or_a_judgement_without_a_use_on_the_record_is_not_taken(lab: RunLab, run: str) -> None:
    north = lab.hospitals["north"]
    [alone] = [task for site, _, task in lab.tasks("train-alone") if site == "north"]
    assert isinstance(alone, TrainAlone)
    made, digest = weights(9), sha256(weights(9)).hexdigest()
    update = Update(
        origin="north", at=NOON, run=alone_run(run), round=1, digest=digest, manifest=north.manifest, steps=10
    )
    index = north.put(update)
    model = LocalModel(project="glioma", run=run, digest=digest, steps=10, entry=index)
    with pytest.raises(NotAllowed) as refused, lab.database.writing() as session:
        take_local_model(session, "north", model, made, store.entry(session, index))
    assert refused.value.code == "no-use"

    lab.train_alone()
    lab.driver.tick()
    [(_, _, task), *_] = [found for found in lab.tasks("evaluate-model") if found[0] == "north"]
    assert isinstance(task, EvaluateModel)
    for use in (None, north.use("other-1", purpose="judging", model=task.model)):
        evidence = Evidence(
            origin="north", at=NOON, model=task.model, pathway="toy", stage="offline", record="d" * 64, use=use
        )
        index = north.put(evidence)
        told = EvaluationResult(
            project="glioma",
            run=run,
            model=task.model,
            label=task.label,
            metric="dice",
            score=1.0,
            patients=Count(about=None),
            entry=index,
        )
        with pytest.raises(NotAllowed) as refused, lab.database.writing() as session:
            take_evaluation(session, "north", told, store.entry(session, index))
        assert refused.value.code == "no-use"


def test_the_same_judgement_again_replaces_the_first(lab: RunLab, run: str) -> None:
    lab.train_alone()
    lab.driver.tick()
    [(site, _, task), *_] = lab.tasks("evaluate-model")
    assert isinstance(task, EvaluateModel)
    for dice in (0.2, 0.3):
        lab.send_judgement(site, task, dice)
    with lab.database.reading() as session:
        assert [row.score for row in queries.evaluations(session, run)] == [0.3]
