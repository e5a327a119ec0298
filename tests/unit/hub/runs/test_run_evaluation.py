"""A registered version is judged at a project's hospitals without a run that trains; who can't judge it isn't asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.command_line import CommandLine
from tests.unit.hub.runs.run_lab import RunLab, project

from wardround.contracts.task import EvaluateModel
from wardround.foundation.errors import NotAllowed
from wardround.hub.registry.queries import models
from wardround.hub.registry.registration import whole_weights
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import evaluation, queries
from wardround.hub.runs.states import RunState
from wardround.learning.arrays import from_bytes, to_bytes


@pytest.fixture
def version(lab: RunLab) -> ModelRow:
    """A version that north and south trained."""
    run = lab.ready("north", "south", rounds=1, compare_alone=False)
    lab.drive(run, RunState.EVALUATING)
    lab.judge(lambda site, task: 0.5)
    lab.drive(run, RunState.FINISHED)
    with lab.database.reading() as session:
        return models(session)[0]


def elsewhere(lab: RunLab, *sites: str, **plan: object) -> str:
    """Another project, approved by sites that may be new; its name."""
    asked = project("elsewhere", **plan)
    lab.join(*(site for site in sites if site not in lab.hospitals))
    lab.submit(asked)
    lab.approve(asked, *sites)
    return asked.id


def evaluate(lab: RunLab, version: ModelRow, asked: str) -> str:
    with lab.database.writing() as session:
        made = evaluation.begin(session, asked, version, version.weights, actor="operator:test", at=lab.clock())
        return made.id


def test_hospitals_that_never_trained_judge_a_version(lab: RunLab, version: ModelRow) -> None:
    asked = elsewhere(lab, "east", "west")
    run = evaluate(lab, version, asked)
    tasks = [(site, task) for site, _, task in lab.tasks("evaluate-model")]
    assert [site for site, _ in tasks] == ["east", "west"], "north and south didn't approve this project"
    assert all(
        isinstance(task, EvaluateModel) and (task.model, task.run, task.round) == (version.weights, run, 0)
        for _, task in tasks
    )
    lab.driver.tick()
    assert lab.state(run) is RunState.EVALUATING, "it waits for them"
    lab.judge(lambda site, task: {"east": 0.6, "west": 0.4}[site])
    assert lab.drive(run, RunState.FINISHED) is RunState.FINISHED
    assert lab.row(run).reason == "judged by east, west"
    with lab.database.reading() as session:
        found = evaluation.judged(session, version.digest)
        assert [(one.id, row.site, row.score) for one, row in found] == [(run, "east", 0.6), (run, "west", 0.4)]
        assert len(models(session)) == 1, "nothing new is registered"
        assert not queries.rounds(session, run) and not queries.legs(session, run), "and nothing was trained"
    ended = [(site, task.run) for site, _, task in lab.tasks("end-run")]  # type: ignore[attr-defined]
    assert ("east", run) in ended and ("west", run) in ended


def test_what_nobody_judged_failed(lab: RunLab, version: ModelRow) -> None:
    run = evaluate(lab, version, elsewhere(lab, "east", "west"))
    for site, number, _ in lab.tasks("evaluate-model"):
        lab.reported(site, number, "refused", "message-not-approved")
    assert lab.drive(run, RunState.FAILED) is RunState.FAILED
    assert lab.row(run).reason.startswith("no hospital judged the model")


def test_it_is_one_of_the_runs_that_were_approved(lab: RunLab, version: ModelRow) -> None:
    asked = project("once", runs=1)
    lab.submit(asked)
    lab.approve(asked, "north", "south")
    run = evaluate(lab, version, asked.id)
    lab.judge(lambda site, task: 0.5)
    lab.drive(run, RunState.FINISHED)
    with pytest.raises(NotAllowed, match="asked for 1 runs and has had them"):
        evaluate(lab, version, asked.id)


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"package_digest": "0" * 64}, "create a project for that package"),
        ({"algorithm": "fedbn", "compare_alone": False}, "layers that stay at home"),
        ({"layers": {"at_home": ["w"]}, "compare_alone": False}, "layers that stay at home"),
    ],
)
def test_what_a_project_cant_judge_is_refused_before_anybody_is_asked(
    lab: RunLab, version: ModelRow, plan: dict[str, object], why: str
) -> None:
    asked = elsewhere(lab, "east", "west", **plan)
    with pytest.raises(NotAllowed, match=why):
        evaluate(lab, version, asked)
    assert not lab.tasks("evaluate-model")


def test_what_didnt_travel_is_judged_as_the_run_began(lab: RunLab, version: ModelRow) -> None:
    began = lab.objects.put(to_bytes({"w": np.ones(2, np.float32), "frozen": np.full(3, 7, np.float32)}))
    row = lab.row(version.run)
    row.began = began
    whole = whole_weights(lab.objects, row, version.weights)
    np.testing.assert_array_equal(whole["frozen"], 7)
    np.testing.assert_array_equal(whole["w"], from_bytes(lab.objects.get(version.weights))["w"])


def test_the_commands(
    lab: RunLab, version: ModelRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hub.toml").write_text('federation = "testing"\nhost = "127.0.0.1"\n')
    monkeypatch.setenv("COLUMNS", "200")
    command = CommandLine(monkeypatch, capsys)
    asked = elsewhere(lab, "east", "west")
    out, _ = command("model", "evaluate", version.digest[:8], "--project", asked, "--home", tmp_path)
    run = f"{asked}-1"
    assert f"Run {run} asks east, west to judge" in out and f"wardround run watch {run}" in out
    lab.judge(lambda site, task: 0.625)
    lab.drive(run, RunState.FINISHED)
    shown, _ = command("run", "show", run, "--home", tmp_path)
    assert f"Nothing is trained: model {version.digest} is judged" in shown and "east: Dice 0.625" in shown
    listed, _ = command("model", "list", "--home", tmp_path)
    assert f"east, project {asked}, run {run}: dice 0.625" in listed
