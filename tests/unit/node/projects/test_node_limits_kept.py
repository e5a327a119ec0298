"""What a data controller limited is kept at the hospital, whatever the hub asks: runs, rounds, messages, privacy."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

import pytest
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import SITE, NodeLab, task

from wardround.contracts.ledger_entry import Approval, Update
from wardround.contracts.outbound import EvaluationResult, LocalModel
from wardround.contracts.privacy import Privacy
from wardround.contracts.project import Project
from wardround.contracts.task import EndRun, EvaluateModel, TrainAlone
from wardround.federation.engine import Declined
from wardround.foundation.errors import Conflict, NotAllowed, WardroundError
from wardround.hub.projects import queries as hub_projects
from wardround.node.policy.rules import Policy
from wardround.node.projects import allowance
from wardround.node.training.learner import Judged, Lesson

ASKED = project(rounds=4)


def lesson(text: bytes) -> Lesson:
    return Lesson(text, sha256(text).hexdigest(), 30, 0.5, "dice", 0.25, 13, 4)


def agree(lab: NodeLab, asked: Project = ASKED, **limits: Any) -> None:
    lab.fill()
    lab.agree(asked, **limits)


def declined(lab: NodeLab, *, run: str = "glioma-1", number: int = 1, asked: Project = ASKED) -> str:
    with pytest.raises(Declined) as refused:
        take_part(lab, run=run, number=number, asked=asked)
    return refused.value.reason


def take_part(lab: NodeLab, *, run: str = "glioma-1", number: int = 1, asked: Project = ASKED) -> None:
    told = task(asked, round_number=number)
    lab.participant.take_part(replace(told, run_id=run, leg_id=f"{run}.1", round=number))


def about(asked: Project = ASKED, run: str = "glioma-1") -> dict[str, Any]:
    return {"project": asked.id, "project_digest": asked.content_digest(), "run": run}


def updates(lab: NodeLab) -> int:
    return len([entry for entry in lab.ledger() if isinstance(entry, Update)])


def test_limits_are_signed_and_the_hub_shows_them(lab: NodeLab) -> None:
    agree(lab, rounds=2, runs=1, no_local_model=True)
    said = lab.ledger()[0]
    assert isinstance(said, Approval) and said.limits is not None
    assert (said.limits.rounds, said.limits.runs, said.limits.no_local_model) == (2, 1, True)
    with lab.hub.database.reading() as session:
        [heard] = hub_projects.decisions(session, "glioma")
        terms = hub_projects.terms_at(session, "glioma")[SITE]
    assert heard.limits == said.limits
    assert "at most 2 rounds of each run; at most 1 run; no model trained here alone leaves" in heard.in_words(
        lab.clock().date()
    )
    assert (terms.rounds, terms.leaving("local-model")) == (2, None)


def test_a_looser_limit_than_what_is_asked_is_refused(lab: NodeLab) -> None:
    lab.fill()
    lab.consider(ASKED)
    with pytest.raises(NotAllowed, match=r"5 rounds are more than the 4 .* a limit can only tighten"):
        lab.approve("glioma", rounds=5)
    assert lab.state("glioma") == "waiting"


def test_no_more_rounds_than_were_approved(lab: NodeLab) -> None:
    agree(lab, rounds=2)
    for number in (1, 2):
        take_part(lab, number=number)
    calls = len(lab.worker.calls)
    assert declined(lab, number=3) == "round-limit"
    assert declined(lab, number=5) == "not-the-approved-plan"
    assert len(lab.worker.calls) == calls


def test_no_more_runs_than_were_approved_however_they_are_named(lab: NodeLab) -> None:
    agree(lab, runs=2)
    take_part(lab, run="glioma-1")
    assert lab.state("glioma") == "running"
    take_part(lab, run="glioma-2")
    calls = len(lab.worker.calls)
    assert declined(lab, run="glioma-3") == "runs-used-up"
    for do in (
        lambda: lab.comparison.train_alone(TrainAlone(**about(run="other"), rounds=1)),
        lambda: lab.comparison.evaluate(EvaluateModel(**about(run="other"), model="a" * 64, label="federated")),
    ):
        with pytest.raises(NotAllowed) as refused:
            do()
        assert refused.value.code == "runs-used-up"
    assert len(lab.worker.calls) == calls
    take_part(lab, run="glioma-1", number=2)
    for run in ("glioma-1", "glioma-2"):
        with lab.database.writing() as session:
            allowance.end_run(session, EndRun(project="glioma", run=run).run, at=lab.clock())
    assert lab.state("glioma") == "finished"


def test_a_run_that_was_only_refused_costs_nothing(lab: NodeLab) -> None:
    agree(lab, runs=1)
    for number in range(3):
        with pytest.raises(Declined):
            take_part(lab, run=f"wrong-{number}", number=9)
    take_part(lab)


def test_a_hub_cant_have_one_round_done_from_weights_of_its_choice_again_and_again(lab: NodeLab) -> None:
    """Differences between answers to chosen weights tell much about who was learned from."""
    agree(lab)
    allowed = ASKED.leaving("run-update")
    assert allowed is not None
    for number in range(allowed.times):
        lab.worker.lesson = lesson(f"chosen {number}".encode())
        take_part(lab)
    lab.worker.lesson = lesson(b"once more")
    assert declined(lab) == "message-too-often"
    assert updates(lab) == allowed.times == len(lab.wire.recorded)
    lab.worker.lesson = lesson(b"chosen 0")
    take_part(lab)  # the very same again: a leg that broke asks so


def test_an_update_larger_than_was_approved_doesnt_leave(lab: NodeLab) -> None:
    agree(lab, messages=[{"kind": "run-update", "largest_bytes": 10}])
    assert declined(lab) == "message-too-large"
    assert (updates(lab), lab.wire.recorded) == (0, [])
    lab.worker.lesson = lesson(b"ten bytes.")
    take_part(lab)
    assert updates(lab) == 1


@pytest.mark.parametrize("limits", [{"no_local_model": True}, {"clip_norm": 1.0}])
def test_no_model_trained_here_alone_leaves_where_it_may_not(lab: NodeLab, limits: dict[str, Any]) -> None:
    agree(lab, **limits)
    with pytest.raises(NotAllowed) as refused:
        lab.comparison.train_alone(TrainAlone(**about(), rounds=1))
    assert refused.value.code == "message-not-approved"
    assert lab.worker.calls == []
    assert not any(isinstance(message, LocalModel) for message in lab.wire.sent)


@pytest.mark.parametrize("where", ["approval", "policy"])
def test_no_data_are_read_for_a_judgement_that_may_not_leave(lab: NodeLab, where: str) -> None:
    agree(lab, messages=[{"kind": "evaluation-result", "times": 0}] if where == "approval" else [])
    if where == "policy":
        lab.policy = Policy.model_validate({"leaving": {"kinds": ["run-update", "engine-traffic"]}})
    said = len(lab.ledger())
    with pytest.raises(NotAllowed) as refused:
        lab.comparison.evaluate(EvaluateModel(**about(), model="a" * 64, label="federated"))
    assert refused.value.code == "message-not-approved"
    assert lab.worker.calls == [] and len(lab.ledger()) == said, "nor is a use put on the ledger that came to nothing"


def test_a_model_trained_alone_leaves_as_often_as_was_approved(lab: NodeLab) -> None:
    agree(lab)
    for text in (b"alone", b"alone", b"alone again"):
        lab.worker.lesson = lesson(text)
        with pytest.raises(WardroundError) as refused:  # this hub began no such run; what left is seen all the same
            lab.comparison.train_alone(TrainAlone(**about(), rounds=1))
    assert refused.value.code == "message-too-often"
    assert {message.digest for message in lab.wire.sent if isinstance(message, LocalModel)} == {lesson(b"alone").digest}


def test_no_more_models_are_judged_than_were_approved(lab: NodeLab) -> None:
    agree(lab, messages=[{"kind": "evaluation-result", "times": 2}])
    lab.worker.lesson = cast(Any, Judged("dice", {"somebody": (0.5,)}, 9))
    codes = []
    for number in range(3):
        model = lab.hub.objects.put(b"model %d" % number)
        lab.models.put(b"model %d" % number)
        with pytest.raises(WardroundError) as refused:
            lab.comparison.evaluate(EvaluateModel(**about(), model=model, label="federated"))
        codes.append(refused.value.code)
    assert codes[-1] == "message-too-often"
    assert len([message for message in lab.wire.sent if isinstance(message, EvaluationResult)]) == 2


def test_what_is_learned_with_is_clipped_and_noised_as_this_hospital_has_it(lab: NodeLab) -> None:
    private = project(rounds=4, compare_alone=False, privacy={"clip_norm": 2.0, "noise_multiplier": 0.5})
    agree(lab, private, clip_norm=1.0)
    take_part(lab, asked=private)
    take_part(lab, asked=private, number=2)
    (_, first, _, _, _, key, *_), (_, second, _, _, _, other, *_) = lab.worker.calls
    assert first.terms.privacy == second.terms.privacy == Privacy(clip_norm=1.0, noise_multiplier=0.5)
    assert len(key) == len(other) == 32 and key != other
    told = "".join(message.model_dump_json() for message in [*lab.wire.sent, *lab.wire.recorded])
    assert key.hex() not in told


def test_an_edition_that_came_while_somebody_read_isnt_approved_unseen(lab: NodeLab) -> None:
    from wardround.node.projects import approval

    lab.fill()
    lab.consider(ASKED)
    read = lab.row("glioma").digest
    wider = project(rounds=500)
    lab.consider(wider)
    for decide in (
        lambda: approval.approve(lab.desk, "glioma", read, actor="person:controller"),
        lambda: approval.refuse(lab.desk, "glioma", read, "not-here", actor="person:controller"),
    ):
        with pytest.raises(
            Conflict, match=r"isn't the one that stands now .* read it with `wardround node show glioma`"
        ):
            decide()
    assert lab.state("glioma") == "waiting"
    assert approval.approve(lab.desk, "glioma", wider.content_digest(), actor="person:controller") == 2
