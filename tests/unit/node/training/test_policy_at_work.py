"""Whatever the hub asks and was approved: each piece of work goes by this hospital's policy as it is at that moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.policy.policy_strategies import policy_of
from tests.unit.node.projects.node_lab import NodeLab, task

from wardround.contracts.privacy import Privacy
from wardround.contracts.task import CountCohort, EvaluateModel, JoinLeg, TrainAlone
from wardround.federation.engine import Declined
from wardround.foundation.errors import NotAllowed
from wardround.node.audit import Audit
from wardround.node.cohort.answering import Answering
from wardround.node.cohort.queries import newest
from wardround.node.policy.file import PolicyUnusable
from wardround.node.policy.verdict import OutsideHours, PolicyForbids
from wardround.node.projects.states import DecisionState
from wardround.node.settings import CohortSettings

ASKED = project()
DIGEST = ASKED.content_digest()


def rules(**tables: dict[str, Any]) -> Any:
    return policy_of(tables)


@pytest.fixture
def agreed(lab: NodeLab) -> NodeLab:
    lab.fill()
    lab.agree(ASKED)
    return lab


FORBIDDEN = [
    (rules(projects={"packages": ["chest-ct"]}), "package-not-allowed"),
    (rules(projects={"package_digests": ["b" * 64]}), "package-not-allowed"),
    (rules(projects={"algorithms": []}), "algorithm-not-allowed"),
    (rules(projects={"article_6": []}), "lawful-basis-not-allowed"),
    (rules(projects={"data_uses": []}), "data-use-not-allowed"),
    (rules(projects={"most_runs": 0}), "no-runs"),
    (rules(leaving={"kinds": ["cohort-answer"]}), "message-not-allowed"),
    (rules(privacy={"least_noise": 1.0}), "privacy-too-weak"),
    (rules(cohort={"smallest_trained_on": 3}), "not-learnable"),
]


@pytest.mark.parametrize(("policy", "code"), FORBIDDEN, ids=[f"{code}-{n}" for n, (_, code) in enumerate(FORBIDDEN)])
def test_a_policy_that_is_tightened_after_an_approval_stops_all_work_at_the_next_step(
    agreed: NodeLab, policy: Any, code: str
) -> None:
    agreed.participant.take_part(task(ASKED))
    before = agreed.policy
    agreed.policy = policy
    assert agreed.refusals(ASKED) == {code}
    agreed.policy = before
    agreed.participant.take_part(task(ASKED, round_number=2))


def test_no_work_is_done_while_the_policy_cant_be_read(agreed: NodeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def unusable() -> Any:
        raise PolicyUnusable("a typo")

    monkeypatch.setattr(agreed.assignments, "_policy", unusable)
    assert agreed.refusals(ASKED) == {"policy-unusable"}


@pytest.mark.parametrize("limit", [1, 2])
def test_a_hub_that_asks_for_more_rounds_than_the_policy_allows_gets_no_more(agreed: NodeLab, limit: int) -> None:
    agreed.policy = rules(projects={"most_rounds": limit})
    for number in range(1, limit + 1):
        agreed.participant.take_part(task(ASKED, round_number=number))
    if limit < ASKED.plan.rounds:
        with pytest.raises(Declined) as declined:
            agreed.participant.take_part(task(ASKED, round_number=limit + 1))
        assert declined.value.reason == "round-limit"
    assert len(agreed.worker.calls) == limit


def test_a_hub_that_starts_more_runs_than_the_policy_allows_gets_no_more(lab: NodeLab) -> None:
    asked = project().model_copy(update={"runs": 5})
    lab.fill()
    lab.agree(asked)
    lab.policy = rules(projects={"most_runs": 1})
    lab.participant.take_part(task(asked))
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(replace(task(asked), run_id="glioma-2"))
    assert declined.value.reason == "runs-used-up"
    assert len(lab.worker.calls) == 1


def test_work_outside_the_hours_waits_for_them_and_an_engine_stays_connected(agreed: NodeLab) -> None:
    agreed.policy = rules(work={"hours": "20:00-22:00", "time_zone": "UTC"})
    agreed.clock.time = agreed.clock.time.replace(hour=12)
    with pytest.raises(Declined) as declined:
        agreed.participant.take_part(task(ASKED))
    assert declined.value.reason == "outside-hours"
    asked: dict[str, Any] = {"project": "glioma", "project_digest": DIGEST, "run": "glioma-1"}
    with pytest.raises(OutsideHours):
        agreed.comparison.evaluate(EvaluateModel(**asked, model="a" * 64, label="federated"))
    assert not agreed.assignments.works_now()
    agreed.assignments.begin("glioma", DIGEST, "glioma-1", to_work=False)
    agreed.clock.time = agreed.clock.time.replace(hour=21)
    agreed.participant.take_part(task(ASKED))
    assert len(agreed.worker.calls) == 1


def test_an_approval_is_over_once_the_policys_longest_time_is(agreed: NodeLab) -> None:
    agreed.policy = rules(projects={"longest_days": 10})
    agreed.clock.time += timedelta(days=10)
    agreed.assignments.check_holds("glioma", DIGEST)
    agreed.clock.time += timedelta(days=1)
    with pytest.raises(PolicyForbids, match="longest_days = 10") as refused:
        agreed.assignments.check_holds("glioma", DIGEST)
    assert refused.value.code == "past-longest-days"


def test_updates_are_cut_as_the_policy_says_though_nobody_asked_for_it(agreed: NodeLab) -> None:
    agreed.policy = rules(privacy={"largest_clip_norm": 1.5, "least_noise": 0.5})
    agreed.participant.take_part(task(ASKED))
    [(_, assignment, *_rest)] = agreed.worker.calls
    assert assignment.terms.privacy == Privacy(clip_norm=1.5, noise_multiplier=0.5)


@pytest.mark.parametrize(
    "tables",
    [
        {"projects": {"compare_alone": False}},
        {"leaving": {"kinds": ["run-update", "engine-traffic", "evaluation-result"]}},
        {"leaving": {"kind": {"local-model": {"bytes_per_day": 0}}}},
        {"privacy": {"largest_clip_norm": 1.5}},
    ],
)
def test_nothing_is_trained_alone_that_the_policy_lets_not_leave(agreed: NodeLab, tables: dict[str, Any]) -> None:
    assert ASKED.plan.compare_alone
    agreed.policy = rules(**tables)
    with pytest.raises(NotAllowed) as refused:
        agreed.comparison.train_alone(
            TrainAlone(project="glioma", project_digest=DIGEST, run="glioma-1", rounds=1),
        )
    assert refused.value.code == "message-not-approved"
    assert agreed.worker.calls == []
    agreed.participant.take_part(task(ASKED))
    assert len(agreed.worker.calls) == 1, "the run itself goes on"


def test_a_larger_update_than_the_policy_allows_doesnt_leave(agreed: NodeLab) -> None:
    size = len(agreed.worker.lesson.update)
    agreed.policy = rules(leaving={"kind": {"run-update": {"largest_bytes": size - 1}}})
    with pytest.raises(Declined) as declined:
        agreed.participant.take_part(task(ASKED))
    assert declined.value.reason == "message-too-large"
    assert agreed.wire.recorded == []


def test_no_more_cores_are_taken_than_the_policy_allows(agreed: NodeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreed.assignments, "_threads", 8)
    assert agreed.assignments.check("glioma", DIGEST, "glioma-1").threads == 8
    agreed.policy = rules(work={"threads": 3})
    assert agreed.assignments.check("glioma", DIGEST, "glioma-1").threads == 3
    agreed.policy = rules(work={"threads": 30})
    assert agreed.assignments.check("glioma", DIGEST, "glioma-1").threads == 8


def test_no_more_runs_are_joined_at_once_than_the_policy_allows(agreed: NodeLab) -> None:
    agreed.policy = rules(work={"most_runs_at_once": 2})
    joined = agreed.legs
    joined._seats = cast(Any, {"other-1": None, "other-2": None})
    with pytest.raises(PolicyForbids) as refused:
        joined.join(
            JoinLeg(
                project="glioma",
                project_digest=DIGEST,
                run="glioma-1",
                leg=1,
                engine_host="127.0.0.1",
                engine_port=1,
            )
        )
    assert refused.value.code == "too-many-runs"
    with agreed.database.reading() as session:
        assert session.scalar(select(Audit).where(Audit.verb == "begin-run")) is None


def test_a_project_that_the_policy_refuses_cant_be_approved_here(lab: NodeLab) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.policy = rules(projects={"packages": ["chest-ct"]})
    with pytest.raises(PolicyForbids, match=r"policy\.toml, projects\.packages: model package brain-mri-glioma"):
        lab.approve("glioma")
    lab.policy = rules(cohort={"smallest_trained_on": 3})
    with pytest.raises(PolicyForbids, match="a cohort of 2 people; at least 3"):
        lab.approve("glioma")
    assert lab.state("glioma") is DecisionState.WAITING
    with lab.database.reading() as session:
        assert session.scalar(select(Audit).where(Audit.verb == "approve-project")) is None


def test_limits_can_make_a_project_fit_the_policy(lab: NodeLab) -> None:
    lab.fill()
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.policy = rules(privacy={"least_noise": 0.5})
    with pytest.raises(PolicyForbids, match="approve with limits that name one"):
        lab.approve("glioma")
    assert lab.approve("glioma", clip_norm=2.0) == 2


def test_the_policy_under_which_a_project_was_approved_is_on_the_audit(lab: NodeLab) -> None:
    lab.fill()
    lab.policy = rules(projects={"most_runs": 7})
    lab.agree(ASKED)
    with lab.database.reading() as session:
        detail = session.scalars(select(Audit.detail).where(Audit.verb == "approve-project")).one()
    assert f"policy {lab.policy.digest()}" in detail


def test_a_question_whose_answer_may_not_leave_is_logged_as_refused_isnt_evaluated_and_costs_nothing(
    lab: NodeLab,
) -> None:
    def never(*_: Any) -> Any:
        pytest.fail("it was evaluated")

    answering = Answering(
        lab.database,
        never,
        cast(Any, lab.wire),
        lab.discloser,
        CohortSettings(),
        lab.clock,
        barred=lambda: "message-not-allowed",
    )
    with pytest.raises(NotAllowed) as refused:
        answering.answer(CountCohort(ask="a" * 16, asked_by="Ada", question=ASKED.cohort.model_dump_json()))
    assert refused.value.code == "message-not-allowed"
    with lab.database.reading() as session:
        [row] = newest(session, 10)
    assert (row.asked_by, row.outcome, row.reason, row.cost) == ("Ada", "refused", "message-not-allowed", 0)
    assert lab.wire.sent == []


def test_a_looser_policy_opens_nothing(lab: NodeLab) -> None:
    """Everything allowed is still not approved."""
    lab.fill()
    lab.consider(ASKED)
    lab.policy = rules(projects={"most_runs": 10**6, "most_rounds": 10**6, "longest_days": 36_500})
    assert lab.refusals(ASKED) == {"not-approved"}
    lab.agree(ASKED)
    with pytest.raises(Declined) as declined:
        lab.participant.take_part(task(ASKED, round_number=3, total=3))
    assert declined.value.reason == "not-the-approved-plan"
    with pytest.raises(NotAllowed):
        lab.assignments.check("glioma", project(rounds=500).content_digest(), "glioma-1")
